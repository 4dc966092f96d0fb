//! Which stacks this agent sees up with its own eyes: what its DNS server may go on naming though no majority is heard.

use std::collections::BTreeMap;

use consensus::model::{AgentId, AppId, Health, StackId};
use consensus::view::{StackView, TargetView, View};

/// By app the stack that its answers name, where this agent itself sees that up.
pub type Seen = BTreeMap<AppId, StackId>;

/// Those of which this agent sees every database up, and an endpoint if there are any; who has neither is never seen.
pub(super) fn seen(view: &View, me: &AgentId) -> Seen {
    let named = view.apps.iter().filter_map(|app| {
        let stack = app.stacks.iter().find(|stack| stack.stack == app.active)?;
        is_seen(stack, me).then(|| (app.app.clone(), app.active.clone()))
    });
    named.collect()
}

fn is_seen(stack: &StackView, me: &AgentId) -> bool {
    let up = |target: &TargetView| {
        target.beliefs.get(me).is_some_and(|belief| belief.health == Health::Up)
    };
    let (databases, endpoints): (Vec<_>, Vec<_>) =
        stack.targets.iter().partition(|target| target.database);
    let web = endpoints.is_empty() || endpoints.into_iter().any(up);
    !stack.targets.is_empty() && web && databases.into_iter().all(up)
}
