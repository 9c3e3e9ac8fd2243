//! The workload that is told what to try.
//!
//! A command is a line of words; the answer is one line, `ok …` or `error …` with what the kernel said. `echo`
//! turns the rest of the connection into an echo. Some commands have no answer, because nothing is left to give it.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;

use vsock::VsockStream;

use crate::{WORKLOAD_PORT, attempts, endings, line, local_socket};

/// Serves for good. The agent is told that the workload is ready, if it listens.
pub(crate) fn serve() -> io::Result<()> {
    let listener = line::listen(WORKLOAD_PORT)?;
    let _ = local_socket::ask("PUT", "/v1/ready", b"");
    Err(line::serve(&listener, converse))
}

fn converse(mut stream: VsockStream) -> io::Result<()> {
    while let Some(line) = line::read(&mut stream)? {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words == ["echo"] {
            return echo(&mut stream);
        }
        let answer = match obey(&words) {
            Ok(text) => format!("ok {text}\n"),
            Err(error) => format!("error {error}\n"),
        };
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn obey(words: &[&str]) -> io::Result<String> {
    match words {
        ["key", name] => fs::read(folder_of_keys()?.join(name)).map(|key| hex(&key)),
        ["keys"] => attempts::list(&folder_of_keys()?),
        ["http", method, path] => answer(local_socket::ask(method, path, b"")?),
        ["http", method, path, body] => answer(local_socket::ask(method, path, &unhex(body)?)?),
        ["local", bytes] => local_socket::send(&unhex(bytes)?).map(|answer| hex(&answer)),
        ["environment"] => Ok(env::vars_os()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")),
        ["connect", cid, port, bytes] => {
            attempts::connect(number(cid)?, number(port)?, &unhex(bytes)?)
        }
        ["plant", file] => endings::plant(file),
        ["shout", file] => endings::shout(file),
        ["exit", code] => std::process::exit(number(code)?),
        ["crash"] => endings::crash(),
        ["leak"] => endings::leak(),
        ["forks"] => endings::fork_without_end().map(|()| String::new()),
        other => attempts::attempt(other),
    }
}

fn folder_of_keys() -> io::Result<PathBuf> {
    let folder = env::var_os("NARTHEX_KEYS");
    folder
        .map(PathBuf::from)
        .ok_or_else(|| io::Error::other("NARTHEX_KEYS is not set"))
}

fn answer((status, body): (u16, Vec<u8>)) -> io::Result<String> {
    Ok(format!("{status} {}", hex(&body)))
}

fn echo(stream: &mut VsockStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return stream.shutdown(Shutdown::Both);
        }
        stream.write_all(buffer.get(..count).unwrap_or_default())?;
    }
}

/// A number of any kind.
pub(crate) fn number<N: std::str::FromStr>(text: &str) -> io::Result<N> {
    text.parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a number"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> io::Result<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not hex"))?;
    let bytes = digits.chunks_exact(2).map(|pair| {
        let value = pair.iter().fold(0, |value, digit| value << 4 | digit);
        u8::try_from(value).unwrap_or(0)
    });
    Ok(bytes.collect())
}
