//! What a decision is recorded to have left behind: the same in the status, in `explain` and in the history of every agent.

use consensus::model::Epoch;
use serde_json::Value;

use super::agents::Mesh;
use super::wait::eventually;
use super::world::SETTLE;

/// The bytes that all running agents have on record for a decision about `shop`, if any are known.
pub fn recorded_loss(mesh: &Mesh<'_>, epoch: Epoch) -> Option<u64> {
    let number = epoch.0.to_string();
    eventually(SETTLE, "all have one loss on record", || {
        let mut all = Vec::new();
        for agent in mesh.running() {
            let asked = |words: &[&str]| {
                let said = agent.quorate(&[words, &["shop", "--epoch", &number]].concat());
                match said.status.success() {
                    true => Ok(said.output),
                    false => Err(said.errors),
                }
            };
            let parsed = |words| -> Result<Value, String> {
                serde_json::from_str(&asked(words)?).map_err(|error| error.to_string())
            };
            let explained = &parsed(&["explain", "--json"])?["decision"]["loss_bytes"];
            let history = parsed(&["history", "--json"])?;
            let decision = &history["states"][0]["decision"];
            if !decision.is_object() {
                return Err(format!("{}: the history lacks it: {history}", agent.name));
            }
            let told = &decision["loss_bytes"];
            let shown = asked(&["explain"])?.contains("of log not taken over");
            if explained != told || shown != explained.is_u64() {
                let name = &agent.name;
                return Err(format!("{name}: {explained} {told}, in words: {shown}"));
            }
            all.push(explained.as_u64());
        }
        match all.iter().all(|it| *it == all[0]) {
            true => Ok(all[0]),
            false => Err(format!("{all:?}")),
        }
    })
}
