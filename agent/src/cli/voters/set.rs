//! A set of voters as people weigh it: who, where, and what it can lose.

use std::collections::BTreeMap;

use consensus::model::{AcceptorId, AgentId, MeshId, Region, Voter, Voters, VotersChange, advice};
use consensus::view::{Moving, View, VoterView};
use serde_json::{Value, json};

/// Who votes, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set(Vec<(AgentId, Region)>);

impl Set {
    /// The voters that are there; while two sets are in force, those that will be.
    pub fn of(view: &View) -> Self {
        let staying =
            view.voters.members.iter().filter(|voter| voter.moving != Some(Moving::Leaving));
        let mut set: Vec<_> =
            staying.map(|voter| (voter.agent.clone(), voter.region.clone())).collect();
        // An agent that replaces its own store is there twice meanwhile.
        set.sort();
        set.dedup();
        Self(set)
    }

    /// The voters after a change.
    ///
    /// # Errors
    /// If it makes no sense, as far as this view tells.
    pub fn after(&self, change: &VotersChange, view: &View) -> Result<Self, String> {
        let mut set = self.0.clone();
        match change {
            VotersChange::Add { agent } => set.push(self.newcomer(agent, view)?),
            VotersChange::Remove { agent } => {
                self.must_vote(agent)?;
                set.retain(|(voter, _)| voter != agent);
            }
            VotersChange::Replace { old, new } if old == new => {
                self.must_vote(old)?;
                let fresh = view
                    .voters
                    .members
                    .iter()
                    .any(|it| it.agent == *old && it.standby_store.is_some());
                if !fresh {
                    return Err(format!(
                        "{old} has no fresh store that stands by: start it, or name who is to vote in its place"
                    ));
                }
            }
            VotersChange::Replace { old, new } => {
                self.must_vote(old)?;
                let newcomer = self.newcomer(new, view)?;
                set.retain(|(voter, _)| voter != old);
                set.push(newcomer);
            }
        }
        set.sort();
        Ok(Self(set))
    }

    fn must_vote(&self, agent: &AgentId) -> Result<(), String> {
        match self.0.iter().any(|(voter, _)| voter == agent) {
            true => Ok(()),
            false => {
                let names: Vec<_> = self.0.iter().map(|(voter, _)| voter.as_str()).collect();
                Err(format!("{agent} is no voter: expected one of {}", names.join(", ")))
            }
        }
    }

    fn newcomer(&self, agent: &AgentId, view: &View) -> Result<(AgentId, Region), String> {
        if self.must_vote(agent).is_ok() {
            return Err(format!("{agent} votes already"));
        }
        if !view.voters.standing_by.contains(agent) {
            let others: Vec<_> = view.voters.standing_by.iter().map(AgentId::as_str).collect();
            let others = match others.is_empty() {
                true => "nobody does".to_owned(),
                false => format!("{} could", others.join(", ")),
            };
            return Err(format!(
                "{agent} does not stand by to become a voter ({others}): it must run, with a certificate that says \
                 voter"
            ));
        }
        let region = view.members.iter().find(|member| member.agent == *agent);
        let region = region.and_then(|member| member.region.clone());
        region
            .map(|region| (agent.clone(), region))
            .ok_or_else(|| format!("the region of {agent} is not known yet: try again in a moment"))
    }

    /// What it can lose, and who is where: `2 of 3 decide, 1 may fail: r1 a1, r2 a2 a3`.
    pub fn words(&self) -> String {
        let mut regions: BTreeMap<&Region, Vec<&str>> = BTreeMap::new();
        for (agent, region) in &self.0 {
            regions.entry(region).or_default().push(agent.as_str());
        }
        let regions: Vec<_> = regions
            .iter()
            .map(|(region, agents)| format!("{region} {}", agents.join(" ")))
            .collect();
        format!("{}: {}", self.strength(), regions.join(", "))
    }

    /// How many are needed and may be lost.
    pub fn strength(&self) -> String {
        let n = self.0.len();
        let needed = n / 2 + 1;
        format!("{needed} of {n} decide, {} may fail", n.saturating_sub(needed))
    }

    /// What could be better about where they are.
    pub fn advice(&self) -> Vec<String> {
        let members = self.0.iter().zip(1..).map(|((agent, region), id)| Voter {
            acceptor: AcceptorId(id),
            agent: agent.clone(),
            region: region.clone(),
            key: [0; 32],
        });
        advice(&Voters::stable(MeshId(0), 0, members.collect()))
    }

    /// The stable shape that scripts read.
    pub fn json(&self) -> Value {
        let members =
            self.0.iter().map(|(agent, region)| json!({"agent": agent, "region": region}));
        json!({ "members": members.collect::<Vec<_>>(), "advice": self.advice() })
    }
}

/// Where a voter is going, in a word.
pub fn moving(voter: &VoterView) -> Option<&'static str> {
    voter.moving.map(|moving| match moving {
        Moving::Joining => "joining",
        Moving::Leaving => "leaving",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture::{self, name};

    #[test]
    fn a_change_that_makes_no_sense_says_why() {
        let view = fixture::view();
        let set = Set::of(&view);
        for (change, why) in [
            (VotersChange::Add { agent: name("ams-1") }, "ams-1 votes already"),
            (VotersChange::Add { agent: name("moon") }, "moon does not stand by"),
            (
                VotersChange::Remove { agent: name("moon") },
                "moon is no voter: expected one of ams-1",
            ),
            (
                VotersChange::Replace { old: name("ams-1"), new: name("ams-1") },
                "ams-1 has no fresh store",
            ),
            (VotersChange::Replace { old: name("moon"), new: name("fra-2") }, "moon is no voter"),
        ] {
            let found = set.after(&change, &view).expect_err(why);
            assert!(found.starts_with(why), "{found}");
        }
        let added = set.after(&VotersChange::Add { agent: name("fra-2") }, &view).expect("good");
        assert!(added.words().contains("eu-west ams-1 fra-1 fra-2, "), "{}", added.words());
    }
}
