//! Kind `conversations`: what devices do one after the other, each with a state of its own.

mod epochs;
mod messages;
mod step;
mod view;
mod world;

use serde::{Deserialize, Serialize};

use super::file::{Case, Fault, same};

pub(super) use step::{Epoch, Receive, Send, Step, Take};
pub(super) use world::World;

/// A conversation, from nothing to its last step.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Conversation {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

impl Case for Conversation {
    const KIND: &'static str = "conversations";

    fn name(&self) -> &str {
        &self.name
    }

    fn made(&self) -> Result<Self, Fault> {
        let mut world = World::default();
        let mut steps = Vec::with_capacity(self.steps.len());
        for (i, step) in self.steps.iter().enumerate() {
            let made = world.go(step).and_then(|made| same(&made, step).map(|()| made));
            steps.push(made.map_err(|fault| format!("step {i}: {fault}"))?);
        }
        Ok(Self { name: self.name.clone(), steps })
    }
}
