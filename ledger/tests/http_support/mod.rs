//! A log in memory, and raw connections to servers under test.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test program uses its part"
)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use narthex_ledger::tokio::{HttpListener, ListenAddress};
use narthex_ledger::{
    AddCheckpoint, Checkpoint, Hash, HashSource, KeyKind, LogError, LogStore, Resource, SignedNote,
    SigningKey, StoreError, TILE_WIDTH, TileBuilder, bundles_of, encode_entries, leaf_hash,
    prove_consistency, root_of, sign_checkpoint,
};

/// A log that grows in memory and keeps every tile it ever had.
pub struct MemoryLog {
    pub key: SigningKey,
    pub entries: Vec<Vec<u8>>,
    builder: TileBuilder,
    pub files: HashMap<String, Vec<u8>>,
}

impl MemoryLog {
    pub fn new(origin: &str) -> Self {
        Self::with_key(SigningKey::generate(origin, KeyKind::Log).unwrap())
    }

    pub fn with_key(key: SigningKey) -> Self {
        Self {
            key,
            entries: Vec::new(),
            builder: TileBuilder::new(),
            files: HashMap::new(),
        }
    }

    /// Another log with the same key and the first `size` entries.
    pub fn fork(&self, size: usize) -> Self {
        let mut fork = Self::with_key(SigningKey::parse(&self.key.to_text()).unwrap());
        fork.append(self.entries[..size].to_vec());
        fork
    }

    pub fn append(&mut self, entries: Vec<Vec<u8>>) {
        let old = self.size();
        for entry in entries {
            self.builder.append(leaf_hash(&entry)).unwrap();
            self.entries.push(entry);
        }
        for (tile, bytes) in self.builder.take_changed() {
            self.files.insert(tile.path(), bytes);
        }
        for (index, width) in bundles_of(old, self.size()) {
            let begin = usize::try_from(index).unwrap() * usize::from(TILE_WIDTH);
            let entries = &self.entries[begin..begin + usize::from(width)];
            let bytes = encode_entries(entries).unwrap();
            let path = Resource::Entries { index, width }.path();
            self.files.insert(path, bytes);
        }
        let note = self.note();
        self.files
            .insert("checkpoint".to_owned(), note.to_string().into_bytes());
    }

    /// Appends `count` entries that differ from all others of this `history`.
    pub fn grow(&mut self, count: usize, history: &str) {
        let begin = self.entries.len();
        let entry = |index: usize| format!("{history} {index}").into_bytes();
        self.append((begin..begin + count).map(entry).collect());
    }

    pub fn size(&self) -> u64 {
        self.builder.size()
    }

    pub fn root_at(&self, size: u64) -> Hash {
        root_of(&self.hashes(0, usize::try_from(size).unwrap()))
    }

    fn hashes(&self, begin: usize, end: usize) -> Vec<Hash> {
        self.entries[begin..end]
            .iter()
            .map(|e| leaf_hash(e))
            .collect()
    }

    pub fn note_at(&self, size: u64) -> SignedNote {
        let checkpoint = Checkpoint {
            origin: self.key.name().to_owned(),
            size,
            root: self.root_at(size),
        };
        sign_checkpoint(&checkpoint, &self.key).unwrap()
    }

    pub fn note(&self) -> SignedNote {
        self.note_at(self.size())
    }

    pub fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        let proof = if old <= new {
            prove_consistency(self, old, new).unwrap()
        } else {
            Vec::new()
        };
        AddCheckpoint {
            old_size: old,
            proof,
            checkpoint: self.note_at(new),
        }
    }
}

impl HashSource for MemoryLog {
    type Error = LogError;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        let width = 1_usize << level;
        let begin = usize::try_from(index).unwrap() * width;
        Ok(root_of(&self.hashes(begin, begin + width)))
    }
}

impl LogStore for MemoryLog {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.files.get(&resource.path()).cloned())
    }
}

/// A store that tells what it was asked.
#[derive(Default)]
pub struct Recorder {
    pub asked: Mutex<Vec<String>>,
}

impl LogStore for Recorder {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        self.asked.lock().unwrap().push(resource.path());
        Ok(None)
    }
}

pub async fn listen() -> (HttpListener, SocketAddr) {
    let listener = HttpListener::bind(&"tcp:127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let ListenAddress::Tcp(address) = listener.local_address().unwrap() else {
        panic!("not TCP");
    };
    (listener, address)
}

/// Sends `request` and reads until the server closes, or 10 seconds have passed without a byte.
pub fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    // The server may refuse before it has read all.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

pub fn connect(address: SocketAddr) -> std::net::TcpStream {
    let stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self {
            status: status.parse().unwrap(),
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// One request in a connection of its own, on a thread that may block.
pub async fn ask(address: SocketAddr, method: &str, path: &str, more: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
    send(address, request.into_bytes()).await
}

pub async fn send(address: SocketAddr, request: Vec<u8>) -> Answer {
    Answer::parse(&send_raw(address, request).await)
}

pub async fn send_raw(address: SocketAddr, request: Vec<u8>) -> Vec<u8> {
    tokio::task::spawn_blocking(move || raw(address, &request))
        .await
        .unwrap()
}

pub async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    send(address, request.into_bytes()).await
}

pub fn shared<T: LogStore + 'static>(store: T) -> Arc<dyn LogStore> {
    Arc::new(store)
}
