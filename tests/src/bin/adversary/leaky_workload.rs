//! A workload that shouts its secrets wherever somebody might listen.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Plants secrets everywhere a workload can, until the file `die` appears; then dies with a last word
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A directory to write to; when all is planted, the file `planted` is made there
    #[arg(long)]
    out: PathBuf,
    /// The secret for each place: memory, file, file-name, process, thread, socket, counter, output,
    /// error-output, exit, user-data
    #[arg(long)]
    secrets: PathBuf,
    /// Anything; a secret among the arguments
    #[arg(long)]
    note: Option<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<bool, String> {
    let secrets = fs::read_to_string(&arguments.secrets).map_err(|error| error.to_string())?;
    let secret = |place: &str| -> Result<String, String> {
        let line = secrets
            .lines()
            .find_map(|line| line.strip_prefix(place)?.strip_prefix('='));
        line.map(str::to_owned)
            .ok_or_else(|| format!("no secret for {place}"))
    };
    // Many copies, so that some of it is on the heap, on the stack and in the page cache.
    let memory: Vec<String> = vec![secret("memory")?; 1000];
    plant_in_processes(&secret("process")?, secret("thread")?)?;
    let _open = plant_in_files(&arguments.out, &secret("file")?, &secret("file-name")?)?;
    let _listener = UnixListener::bind(arguments.out.join(secret("socket")?));
    speak(&secret("output")?, &secret("error-output")?)?;
    keep_key(&arguments.out)?;
    ask_the_agent(&secret("counter")?, &secret("user-data")?)?;
    fs::write(arguments.out.join("planted"), "").map_err(|error| error.to_string())?;
    while !arguments.out.join("die").exists() {
        sleep(Duration::from_millis(10));
        speak(&secret("output")?, &secret("error-output")?)?;
    }
    drop(fs::remove_file(arguments.out.join("die")));
    drop(fs::remove_file(arguments.out.join("planted")));
    let last = secret("exit")?;
    // Once with a status that a careless agent would read as text, once with words.
    Err(format!("{last} {} {:?}", memory.len(), arguments.note))
}

fn plant_in_processes(process: &str, thread: String) -> Result<(), String> {
    fs::write("/proc/self/comm", process).map_err(|error| error.to_string())?;
    std::thread::Builder::new()
        .name(thread)
        .spawn(|| sleep(Duration::from_secs(3600)))
        .map(drop)
        .map_err(|error| error.to_string())
}

fn plant_in_files(out: &Path, content: &str, name: &str) -> Result<fs::File, String> {
    let text = |error: std::io::Error| error.to_string();
    fs::write(out.join("content"), content).map_err(text)?;
    fs::create_dir_all(out.join(format!("{name}.d"))).map_err(text)?;
    fs::File::create(out.join(name)).map_err(text)
}

fn speak(output: &str, error_output: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{output}").map_err(|error| error.to_string())?;
    writeln!(std::io::stderr(), "{error_output}").map_err(|error| error.to_string())
}

/// Hands the key to whoever searches for it.
fn keep_key(out: &Path) -> Result<(), String> {
    let keys = PathBuf::from(std::env::var_os("NARTHEX_KEYS").ok_or("no NARTHEX_KEYS")?);
    for entry in fs::read_dir(keys).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let kept = out.join(format!("kept.{}", entry.file_name().to_string_lossy()));
        let bytes = fs::read(entry.path()).map_err(|error| error.to_string())?;
        fs::write(kept, bytes).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Every request of the local socket, with secrets wherever text goes.
fn ask_the_agent(counter: &str, user_data: &str) -> Result<(), String> {
    let with_body = |line: &str, body: &str| {
        format!(
            "{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for request in [
        with_body(&format!("PUT /v1/counters/{counter}"), "5"),
        with_body(&format!("PUT /v1/counters/{}", counter.to_lowercase()), "5"),
        with_body("PUT /v1/counters/served", counter),
        with_body(&format!("{counter} /v1/{counter}?{counter}"), counter),
        with_body(&format!("GET /v1/keys/{counter}"), ""),
        with_body("PUT /v1/counters/served", "42"),
        with_body("PUT /v1/ready", ""),
        with_body(
            "POST /v1/attestation",
            &format!("{{\"user_data\":\"{}\"}}", hex::encode(user_data)),
        ),
        with_body("POST /v1/attestation", user_data),
        format!("GET /v1/ready HTTP/1.1\r\nHost: {counter}\r\nX-{counter}: {counter}\r\n\r\n"),
        format!("{counter}\r\n\r\n"),
    ] {
        let socket = std::env::var_os("NARTHEX_SOCKET").ok_or("no NARTHEX_SOCKET")?;
        let mut socket = UnixStream::connect(socket).map_err(|error| error.to_string())?;
        socket
            .write_all(request.as_bytes())
            .map_err(|error| error.to_string())?;
        let mut answer = [0; 1024];
        // Whatever it is: what counts is what leaves elsewhere.
        let _ = socket.read(&mut answer);
    }
    Ok(())
}
