//! Enclaves: mock NSMs in this process, served over Unix sockets to agents in theirs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use narthex_nsm::mock::mint::{DevelopmentAuthority, Identity, Measurement, measurement_of};
use narthex_nsm::mock::server::{RunningServer, Server, ServerLimits};
use narthex_nsm::mock::{MockConfig, MockNsm};

/// The parent's role in every lab.
pub const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/lab";

/// An image, by its measurements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Image {
    /// PCR0, PCR1 and PCR2.
    pub pcrs: [Measurement; 3],
}

impl Image {
    /// The image that this text stands for.
    #[must_use]
    pub fn of(label: &str) -> Self {
        let pcr = |part: &str| measurement_of(format!("{part} of {label}").as_bytes());
        Self {
            pcrs: ["image", "kernel", "application"].map(pcr),
        }
    }
}

/// A mock NSM and its socket.
pub struct Enclave {
    /// The NSM, to look into and to disturb.
    pub nsm: Arc<MockNsm>,
    socket: PathBuf,
    _server: RunningServer,
}

impl Enclave {
    /// Serves an NSM in `folder` under `name`. The module id follows from the name.
    #[must_use]
    pub fn start(folder: &Path, name: &str, image: Image) -> Self {
        Self::start_with(folder, name, image, |_| ())
    }

    /// The same, with a last word about the configuration.
    #[must_use]
    pub fn start_with(
        folder: &Path,
        name: &str,
        image: Image,
        change: impl FnOnce(&mut MockConfig),
    ) -> Self {
        let digest = hex::encode(measurement_of(name.as_bytes()));
        let [pcr0, pcr1, pcr2] = image.pcrs;
        let mut config = MockConfig {
            identity: Identity {
                instance_id: format!("i-{}", digest.get(..17).unwrap_or_default()),
                enclave_id: digest.get(17..33).unwrap_or_default().to_owned(),
                region: "us-east-1".to_owned(),
            },
            pcr0,
            pcr1,
            pcr2,
            role_arn: Some(ROLE_ARN.to_owned()),
            ..MockConfig::example()
        };
        change(&mut config);
        let nsm = Arc::new(MockNsm::new(DevelopmentAuthority::insecure_fixed(), config));
        let socket = folder.join(format!("{name}.nsm"));
        let server = Server::bind(&socket, Arc::clone(&nsm), ServerLimits::default())
            .and_then(Server::spawn)
            .expect("a mock NSM's socket");
        Self {
            nsm,
            socket,
            _server: server,
        }
    }

    /// Its module id.
    #[must_use]
    pub fn module_id(&self) -> String {
        self.nsm.config().identity.module_id()
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}
