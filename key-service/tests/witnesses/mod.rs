//! Witnesses for tests: real ones, and one that says what it is told to.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use narthex_ledger::{
    AddCheckpoint, KeyKind, SigningKey, VerifierKey,
    tokio::{
        HttpListener, ListenAddress, ServeLimits, ServeStatistics, Witness, create_witness_folder,
    },
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    sync::oneshot,
    task::JoinHandle,
};

/// Some witnesses, none of them running yet.
pub struct Witnesses {
    folder: TempDir,
    names: Vec<String>,
    keys: Vec<String>,
    running: Vec<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Witnesses {
    pub fn new(count: usize) -> Self {
        let names: Vec<_> = (1..=count).map(|n| format!("witness{n}.example")).collect();
        let keys = names.iter().map(|name| {
            let key = SigningKey::generate(name, KeyKind::Witness).unwrap();
            key.to_text().to_string()
        });
        Self {
            folder: tempfile::tempdir().unwrap(),
            keys: keys.collect(),
            running: names.iter().map(|_| None).collect(),
            names,
        }
    }

    pub fn key(&self, number: usize) -> SigningKey {
        SigningKey::parse(&self.keys[number]).unwrap()
    }

    /// The rest of a bundle's `[ledger]` with all of them.
    pub fn ledger(&self, quorum: usize, rest: &str) -> String {
        self.ledger_of(0..self.keys.len(), quorum, rest)
    }

    /// The rest of a bundle's `[ledger]` with some of them.
    pub fn ledger_of(
        &self,
        numbers: impl IntoIterator<Item = usize>,
        quorum: usize,
        rest: &str,
    ) -> String {
        let keys: Vec<_> = numbers
            .into_iter()
            .map(|number| format!("\"{}\"", self.key(number).verifier_key()))
            .collect();
        format!(
            "witnesses = [{}]\nquorum = {quorum}\n{rest}",
            keys.join(", ")
        )
    }

    /// `[ledger]` of the configuration.
    pub fn config(&self, rest: &str) -> String {
        let mut text =
            format!("[ledger]\nwitness_timeout_seconds = 1\n{rest}\n[ledger.witnesses]\n");
        for (number, name) in self.names.iter().enumerate() {
            text += &format!("\"{name}\" = \"unix:{}\"\n", self.socket(number).display());
        }
        text
    }

    fn socket(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("{number}.sock"))
    }

    /// Starts a real witness; it remembers what it saw before.
    pub async fn start(&mut self, number: usize, log: &VerifierKey) {
        let state = self.folder.path().join(format!("{number}.state"));
        let key = self.key(number);
        if !state.exists() {
            create_witness_folder(&state, &key.verifier_key()).unwrap();
        }
        let witness = Arc::new(Witness::open(&state, key, vec![log.clone()]).unwrap());
        let address = ListenAddress::Unix(self.socket(number));
        let listener = HttpListener::bind(&address).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let limits = ServeLimits {
            drain: Duration::from_millis(100),
            ..ServeLimits::default()
        };
        let task = tokio::spawn(async move {
            let statistics = Arc::new(ServeStatistics::default());
            let stopped = async {
                let _ = stopped.await;
            };
            witness
                .serve(vec![listener], limits, statistics, stopped)
                .await;
        });
        self.running[number] = Some(Running { stop, task });
    }

    pub async fn start_all(&mut self, log: &VerifierKey) {
        for number in 0..self.names.len() {
            self.start(number, log).await;
        }
    }

    /// Makes a witness that is stopped forget what it saw.
    pub fn forget(&self, number: usize) {
        std::fs::remove_dir_all(self.folder.path().join(format!("{number}.state"))).unwrap();
    }

    pub async fn stop(&mut self, number: usize) {
        if let Some(Running { stop, task }) = self.running[number].take() {
            let _ = stop.send(());
            task.await.unwrap();
        }
    }

    /// Starts one that answers whatever `say` says: status and body. It keeps what it was asked.
    pub fn start_scripted(
        &mut self,
        number: usize,
        say: impl Fn(&AddCheckpoint) -> (u16, String) + Send + Sync + 'static,
    ) -> Arc<Mutex<Vec<AddCheckpoint>>> {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let listener = UnixListener::bind(self.socket(number)).unwrap();
        let (stop, mut stopped) = oneshot::channel();
        let (seen, say) = (Arc::clone(&asked), Arc::new(say));
        let task = tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    _ = &mut stopped => return,
                };
                let (seen, say) = (Arc::clone(&seen), Arc::clone(&say));
                tokio::spawn(async move { answer(stream, &seen, &*say).await });
            }
        });
        self.running[number] = Some(Running { stop, task });
        asked
    }
}

/// One request, one answer, and the connection is closed.
async fn answer(
    mut stream: tokio::net::UnixStream,
    seen: &Mutex<Vec<AddCheckpoint>>,
    say: &(dyn Fn(&AddCheckpoint) -> (u16, String) + Send + Sync),
) {
    let mut bytes = Vec::new();
    let body = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length: usize = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, length)| length.parse().unwrap());
        if body.len() >= length {
            break body.to_owned();
        }
    };
    let request = AddCheckpoint::parse(&body).unwrap();
    let (status, body) = say(&request);
    seen.lock().unwrap().push(request);
    let kind = if status == 409 {
        "text/x.tlog.size"
    } else {
        "text/plain"
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
    let _ = stream.shutdown().await;
}
