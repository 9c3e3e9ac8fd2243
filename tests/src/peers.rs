//! Programs by other people that speak the log's formats: `scripts/peers` builds them.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::lab::process::Said;
use crate::lab::witness::{Again, MakeWitness, Witness};

/// Folder of the peers.
pub const VARIABLE: &str = "NARTHEX_PEERS";
/// With this, a test without its peer fails.
pub const REQUIRED: &str = "NARTHEX_REQUIRE_PEERS";

/// The peers that are there.
pub struct Peers {
    folder: PathBuf,
}

impl Peers {
    /// The peers; `None`, and a line that says so, where there are none and none are required.
    ///
    /// # Panics
    ///
    /// If they are required and not there.
    #[must_use]
    pub fn find() -> Option<Self> {
        let folder = std::env::var_os(VARIABLE).map(PathBuf::from);
        let found = folder.filter(|folder| {
            folder.join("peer").is_file() && folder.join("bin/aics-tlog").is_file()
        });
        if found.is_none() {
            let words = format!(
                "{VARIABLE} does not say where the peers are: run `scripts/peers FOLDER`, then set {VARIABLE}=FOLDER"
            );
            assert!(std::env::var_os(REQUIRED).is_none(), "{words}");
            eprintln!("NOT CHECKED against other implementations: {words}");
        }
        found.map(|folder| Self { folder })
    }

    /// Runs the program around Go's `note` and `tlog`.
    #[must_use]
    pub fn go<A: AsRef<OsStr>>(&self, folder: &Path, arguments: &[A]) -> Said {
        Said::by(folder, &self.folder.join("peer"), arguments)
    }

    /// Runs `aics-tlog`.
    #[must_use]
    pub fn aics_tlog<A: AsRef<OsStr>>(&self, folder: &Path, arguments: &[A]) -> Said {
        Said::by(folder, &self.folder.join("bin/aics-tlog"), arguments)
    }

    /// Runs AWS's reader of images; `None` where it was not built.
    #[must_use]
    pub fn image_oracle<A: AsRef<OsStr>>(&self, folder: &Path, arguments: &[A]) -> Option<Said> {
        let program = self.folder.join("image-oracle");
        program
            .is_file()
            .then(|| Said::by(folder, &program, arguments))
    }

    /// `aics-witness`, as a witness of a lab's log.
    #[must_use]
    pub fn aics_witness(&self) -> MakeWitness {
        let program = self.folder.join("bin/aics-witness");
        Box::new(move |folder, _, log| {
            let run = |arguments: &[&str]| Said::by(folder, &program, arguments).done();
            let listen = free_address();
            let (name, config) = ("peer.example/witness", "aics.json");
            let init = [
                "init", "--config", config, "--name", name, "--listen", &listen,
            ];
            let files = ["--db", "aics.db", "--key-file", "aics.key"];
            let key = run(&[&init[..], &files].concat()).trim().to_owned();
            let (origin, _) = log.split_once('+').unwrap_or((log, ""));
            run(&[
                "add-log", "--config", config, "--origin", origin, "--vkey", log,
            ]);
            let mut witness = Witness::new(
                name,
                &key,
                &format!("http://{listen}"),
                Again {
                    folder: folder.to_owned(),
                    program,
                    log_name: "aics".to_owned(),
                    arguments: ["serve", "--config", config].map(str::to_owned).into(),
                    ready: "listening on http",
                },
            );
            witness.start();
            witness
        })
    }
}

/// An address that nobody listened on a moment ago.
#[allow(clippy::expect_used)] // For tests.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    address.to_string()
}
