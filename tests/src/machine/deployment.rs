//! A lab whose enclaves are virtual machines.

use std::fs;

use narthex_channel::diagnostics::{FieldName, State, Value};
use narthex_policy::Action;

use super::image::{AgentSettings, BuiltImage, ImagePlan};
use super::place::Places;
use super::tools::Tools;
use super::{BootPlan, Machine, Way};
use crate::lab::agent::Reachable;
use crate::lab::policy::key_rule;
use crate::lab::process::{Process, await_true};
use crate::lab::{KEY, Lab, Setup};

/// A lab, its signer, and the image that it runs.
pub struct Deployment {
    // Dropped in this order: the signer works in the lab's folder.
    signer: Process,
    /// The lab.
    pub lab: Lab,
    /// The tools.
    pub tools: Tools,
    /// What its agents are configured to do.
    pub settings: AgentSettings,
}

impl Deployment {
    /// A running key service that believes the signer's root, and knows no release yet.
    #[must_use]
    pub fn start(tools: Tools) -> Self {
        Self::start_with(tools, Setup::dev())
    }

    /// The same as described.
    #[must_use]
    pub fn start_with(tools: Tools, setup: Setup) -> Self {
        let mut lab = Lab::with(setup);
        fs::remove_file(lab.path("root.der")).expect("the root of no signer");
        let socket = lab.path("signer.sock").display().to_string();
        let arguments = [
            "mock-nsm",
            "--sign-for",
            &socket,
            "--state",
            "signer",
            "--root-out",
            "root.der",
        ];
        let mut signer = super::start(lab.folder(), "signer", &lab.programs.narthex(), &arguments);
        signer.await_text("signer.sock");
        lab.start_service();
        let settings = AgentSettings::of(&lab);
        Self {
            signer,
            lab,
            tools,
            settings,
        }
    }

    /// Builds an image of the agent as it is configured here, with the specimen.
    #[must_use]
    pub fn image(&self, name: &str) -> BuiltImage {
        self.image_with(name, |_| ())
    }

    /// The same, with a last word about it.
    #[must_use]
    pub fn image_with(&self, name: &str, change: impl FnOnce(&mut ImagePlan)) -> BuiltImage {
        let settings = self.settings.text(&self.lab.people);
        let mut plan = ImagePlan::of(&self.tools, name, &settings);
        change(&mut plan);
        self.lab.image(&plan)
    }

    /// Approves these images as releases, and gives them the lab's key in bundle 2.
    pub fn release(&self, images: &[&BuiltImage]) {
        let commitment = self.lab.key("create", KEY);
        self.release_with(images, &commitment, |_| ());
    }

    /// The same with a key that is there, and a last word about the bundle.
    pub fn release_with(
        &self,
        images: &[&BuiltImage],
        commitment: &str,
        change: impl FnOnce(&mut String),
    ) {
        for image in images {
            self.lab.release_image(image);
        }
        let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
        self.lab.succeed(
            &[],
            |text| {
                *text += &key_rule(KEY, &names, &[(1, commitment)]);
                change(text);
            },
            &["alice", "carol"],
        );
    }

    /// How an honest parent starts an image.
    #[must_use]
    pub fn plan(&self, image: &BuiltImage) -> BootPlan {
        BootPlan {
            signer: Some(self.lab.path("signer.sock")),
            keys: Way::Relayed(self.lab.address("keys.sock")),
            policy: Way::Relayed(self.lab.address("policy.sock")),
            ..BootPlan::of(&image.file)
        }
    }

    /// Starts a machine as soon as there is room.
    #[must_use]
    pub fn boot(&self, name: &str, plan: &BootPlan) -> Machine {
        self.boot_in(Places::wait(1), name, plan)
    }

    /// Starts a machine, and waits until it has its keys and its workload runs.
    #[must_use]
    pub fn running(&self, name: &str, plan: &BootPlan) -> Machine {
        let machine = self.boot(name, plan).serving();
        self.lab.await_health(&machine, State::Running);
        machine
    }

    /// Starts a machine where there is room.
    #[must_use]
    pub fn boot_in(&self, places: Places, name: &str, plan: &BootPlan) -> Machine {
        let narthex = self.lab.programs.narthex();
        Machine::boot_in(places, &self.tools, &narthex, self.lab.folder(), name, plan)
    }

    /// Waits until the key service has released the lab's key this often, to anybody.
    pub fn await_released(&mut self, times: usize) {
        let service = self.lab.service.as_mut().expect("a service");
        service.await_texts(&format!("released key=\"{KEY}\""), times);
    }

    /// What the signer said.
    #[must_use]
    pub fn signer_log(&self) -> String {
        self.signer.log()
    }
}

impl Lab {
    /// Waits until the agent says that it is in this state.
    pub fn await_health(&self, agent: &impl Reachable, state: State) {
        await_true(&format!("{state:?}"), || {
            let health = self.read(agent, Action::Health);
            health.value(FieldName::HealthState) == Some(Value::State(state))
        });
    }

    /// Approves the manifest of an image as Bob and Carol, and writes and signs the release.
    pub fn release_image(&self, image: &BuiltImage) {
        let manifest = image.manifest.display().to_string();
        for person in ["bob", "carol"] {
            let key = self.people.file(person);
            self.narthex(&["image", "approve", &manifest, "--as", person, "--key", &key])
                .done();
        }
        self.narthex(&[
            "release",
            "new",
            "policy",
            "--name",
            &image.name,
            "--version",
            "1.0.0",
            "--manifest",
            &manifest,
        ])
        .done();
        let file = self.newest("policy/releases").display().to_string();
        self.sign("release", &file, &["bob", "carol"]);
    }
}
