//! A machine whose `/init` is the specimen, which hands out the NSM: an enclave in the hands of an attacker.

use narthex_channel::Address;
use narthex_nsm::socket::SocketNsm;

use super::deployment::Deployment;
use super::image::BuiltImage;
use super::{BootPlan, Machine, start_relay};
use crate::connection::connect_hybrid;
use crate::lab::process::Process;

/// Where it hands out the NSM.
const NSM_PORT: u32 = 7001;
/// Where it is told to end.
const CONTROL_PORT: u32 = 7002;

/// Such a machine.
pub struct Handout {
    // Dropped in this order.
    _bridge: Process,
    /// The machine.
    pub machine: Machine,
    /// Its NSM, behind Linux's driver.
    pub nsm: SocketNsm,
}

impl Handout {
    /// Tells it to end, and waits until it has.
    pub fn end(&mut self) {
        drop(connect_hybrid(self.machine.socket(), CONTROL_PORT));
        self.machine.end();
    }
}

impl Deployment {
    /// Builds an image whose `/init` is the specimen.
    #[must_use]
    pub fn handout_image(&self, name: &str) -> BuiltImage {
        self.image_with(name, |plan| plan.init = self.tools.specimen().to_owned())
    }

    /// Starts a machine from such an image.
    #[must_use]
    pub fn hand_out(&self, name: &str, plan: &BootPlan) -> Handout {
        let mut machine = self.boot(name, plan);
        machine.qemu.await_text("hands out the NSM");
        let here = self.lab.path(&format!("{name}.nsm"));
        let bridge = start_relay(
            self.lab.folder(),
            &format!("{name}-bridge"),
            &self.lab.programs.narthex(),
            &Address::Unix(here.clone()),
            &machine.port(NSM_PORT),
        );
        Handout {
            _bridge: bridge,
            machine,
            nsm: SocketNsm::new(here),
        }
    }
}
