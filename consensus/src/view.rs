//! What one agent sees, thinks and knows, for people: `quorate status`, the API, the dashboard and stories read this.
//!
//! Plain owned data with a stable JSON shape. Times are durations in milliseconds, never moments: a moment means nothing
//! on another machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{
    Abstention, AgentId, AppId, Ballot, Certificate, DatabaseSight, DecisionKind, Epoch, Fault,
    FenceRecord, Health, Mode, Phase, Region, StackId, TargetName, Verdict, Warning,
};

/// Everything one agent can say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// The agent that says it.
    pub agent: AgentId,
    /// Where it is.
    pub region: Region,
    /// The mesh it belongs to, in hexadecimal.
    pub mesh: String,
    /// Is it one of the voters?
    pub voter: bool,
    /// Why its word does not count, if it does not.
    pub abstention: Option<Abstention>,
    /// How well it is itself.
    pub health: HealthView,
    /// Can the mesh decide, as far as this agent sees?
    pub quorum: QuorumView,
    /// Who votes, and who could.
    pub voters: VotersView,
    /// Every agent it knows, itself included, by name.
    pub members: Vec<MemberView>,
    /// Every app, by name.
    pub apps: Vec<AppView>,
}

/// How well an agent is itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// From zero, well, to seven: late, not answered, unable to look. From four on its word does not count.
    pub score: u8,
    /// Its canaries; none, and it does not ask itself whether it reaches the world.
    pub canaries: Vec<CanaryView>,
}

/// One thing that an agent looks at to know whether it reaches the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryView {
    /// Where it is.
    pub address: String,
    /// Did it answer within five seconds?
    pub answers: bool,
    /// What went wrong last, if it does not.
    pub fault: Option<Fault>,
}

/// Can the mesh decide?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumView {
    /// How many voters there are.
    pub voters: usize,
    /// How many of them are heard directly, this agent included.
    pub heard: usize,
    /// How many are needed.
    pub needed: usize,
    /// One line when there is no quorum.
    pub why: Option<String>,
    /// How long ago a majority was last heard; zero while it is.
    pub silent_ms: u64,
}

/// Who votes, and who could.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VotersView {
    /// Grows by one with every step of a change.
    pub version: u64,
    /// What is changing, while two sets are in force.
    pub changing: Option<String>,
    /// The voters, by name; while two sets are in force, of both.
    pub members: Vec<VoterView>,
    /// Agents whose store stands by to become a voter's, by name.
    pub standing_by: Vec<AgentId>,
    /// What could be better about where the voters are.
    pub advice: Vec<String>,
}

/// One voter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoterView {
    /// Its name.
    pub agent: AgentId,
    /// The region its certificate names.
    pub region: Region,
    /// The id of its store, in short.
    pub acceptor: String,
    /// Is it joining or leaving, while two sets are in force?
    pub moving: Option<Moving>,
    /// Is this very store heard?
    pub heard: bool,
    /// How long ago this very store was last heard, if ever since this agent runs.
    pub silent_ms: Option<u64>,
    /// The id of another store that the same agent holds ready, in short: this one is lost.
    pub standby_store: Option<String>,
}

/// A voter's way, while two sets are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moving {
    /// It will vote.
    Joining,
    /// It will not vote any more.
    Leaving,
}

/// One agent as another sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its name.
    pub agent: AgentId,
    /// Its region, once known.
    pub region: Option<Region>,
    /// Is it one of the voters?
    pub voter: bool,
    /// Is it heard directly?
    pub heard: bool,
    /// Does membership (SWIM) hold it for alive, by whatever path?
    pub alive: bool,
    /// The last round trip.
    pub rtt_ms: Option<f64>,
    /// How long ago it was last heard.
    pub silent_ms: Option<u64>,
    /// Where it is reached.
    pub address: Option<String>,
    /// Why its word does not count, if it says so.
    pub abstention: Option<Abstention>,
}

/// One app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppView {
    /// Its name.
    pub app: AppId,
    /// Whether the mesh may act by itself.
    pub mode: Mode,
    /// The definition's revision.
    pub revision: u64,
    /// The last decision's epoch.
    pub epoch: Epoch,
    /// The ballot the state was chosen at.
    pub ballot: Ballot,
    /// The stack the answers name.
    pub active: StackId,
    /// How far the last decision has been carried out.
    pub phase: Phase,
    /// Who carries it out.
    pub executor: Option<AgentId>,
    /// The last decision.
    pub decision: DecisionView,
    /// Its stacks, in order of preference.
    pub stacks: Vec<StackView>,
    /// How far lifetimes of its answers are shortened: 0, and they are as defined.
    #[serde(default)]
    pub shortened: u8,
    /// The move that waits until answers of before have run out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<PlannedView>,
    /// The stacks whose replicas are agreed to hold whatever their primary acknowledged, by database; absent where the mesh
    /// does not keep whom a primary waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_set: Option<BTreeMap<TargetName, Vec<StackId>>>,
    /// Until when people hold the mesh back, if they do.
    pub freeze: Option<FreezeView>,
    /// What the mesh did by itself, and how long it waits because of that.
    pub damping: DampingView,
    /// What will happen next, or why nothing does: one line.
    pub next: String,
    /// Who may write, of an app whose databases have guards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseView>,
    /// Would a failover succeed right now? Reasons why not; empty when it would.
    pub unready: Vec<String>,
    /// What is not as it should be with the databases, though nothing has failed yet.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// What decisions really lost, by database: what the last old primary turned out to hold alone, once it was back.
    #[serde(default)]
    pub lost: BTreeMap<TargetName, LostView>,
    /// Its endpoints that are followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub following: Vec<FollowingView>,
}

/// A move that waits until answers of before have run out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedView {
    /// To which stack.
    pub to: StackId,
    /// Who asked for it.
    pub by: String,
    /// In how long it begins, as far as this agent sees.
    pub within_ms: u64,
}

/// Endpoints that are followed, as this agent finds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowingView {
    /// Of which stack.
    pub stack: StackId,
    /// Their name.
    pub name: TargetName,
    /// Where they are looked for, in order.
    pub sources: Vec<String>,
    /// The places agreed last: where DNS sends people.
    pub agreed: Vec<String>,
    /// The places that the source named last, to this agent.
    pub found: Vec<String>,
    /// How long ago that was, if ever.
    pub answered_ms: Option<u64>,
    /// Why it tells nothing now, if it does not: what was agreed last stands.
    pub why: Option<String>,
    /// How often it told nothing since this agent started.
    pub failures: u64,
}

/// Who may write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseView {
    /// The stack that may, by what is agreed; none while it is being fenced.
    pub writer: Option<StackId>,
    /// Every guard.
    pub guards: Vec<GuardView>,
    /// Every voter's grant that may still run, as far as it told.
    pub granted: Vec<GrantView>,
}

/// One guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardView {
    /// The stack whose databases it guards.
    pub stack: StackId,
    /// Its name.
    pub guard: AgentId,
    /// Is it heard directly?
    pub heard: bool,
    /// For how long it holds them open, by its last word.
    pub open_ms: u64,
}

/// One voter's grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    /// The voter.
    pub voter: AgentId,
    /// To which stack.
    pub stack: StackId,
    /// For how much longer.
    pub left_ms: u64,
}

/// A freeze that holds, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeView {
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How long it still holds, by this agent's clock.
    pub left_ms: u64,
    /// When it ends, by this agent's wall clock: milliseconds since 1970.
    pub until_wall_ms: u64,
}

/// What the mesh did by itself lately, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DampingView {
    /// Is the app left alone until a person acknowledges what was done?
    pub flapping: bool,
    /// How long the mesh still waits, by this agent's clock.
    pub cooling_ms: u64,
    /// What it did since a person last acknowledged it, oldest first.
    pub history: Vec<DampedView>,
    /// Who last acknowledged.
    pub acknowledged: Option<String>,
}

/// A decision that the mesh made by itself, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DampedView {
    /// Its epoch.
    pub epoch: Epoch,
    /// Was it taken back?
    pub aborted: bool,
    /// How long ago this agent learned of it, by its clock.
    pub age_ms: u64,
}

/// A decision, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionView {
    /// What sort.
    pub kind: DecisionKind,
    /// From which stack.
    pub from: StackId,
    /// To which.
    pub to: StackId,
    /// Who proposed it.
    pub by: AgentId,
    /// Which attempt at it is carried out: requests carry it in their tokens.
    #[serde(default)]
    pub attempt: u8,
    /// Why.
    pub reason: String,
    /// When, by the proposer's wall clock: milliseconds since 1970.
    pub wall_ms: u64,
    /// What is known of the old databases' fence.
    pub fence: BTreeMap<TargetName, FenceRecord>,
    /// The bytes known to be left behind.
    pub loss_bytes: Option<u64>,
    /// For how long those had been written, in milliseconds, where that is known.
    #[serde(default)]
    pub loss_ms: Option<u64>,
    /// The evidence behind the decision.
    pub first: Option<Certificate>,
    /// The evidence behind the point of no return.
    pub second: Option<Certificate>,
}

/// What was really lost of one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostView {
    /// The stack of the old primary.
    pub stack: StackId,
    /// The epoch that it came back in.
    pub epoch: Epoch,
    /// Transactions that had committed.
    pub transactions: u64,
    /// The log they take.
    pub bytes: u64,
    /// From the first to the last of them, in milliseconds.
    pub span_ms: u64,
}

/// One stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StackView {
    /// Its name.
    pub stack: StackId,
    /// Do the answers name it?
    pub active: bool,
    /// What the rule would make of its web, from what is gossiped; `None` without endpoints.
    pub web: Option<Verdict>,
    /// What the rule would make of its databases; `None` without databases.
    pub data: Option<Verdict>,
    /// Why it could not be moved to; empty if it could.
    pub unfit: Vec<String>,
    /// Of a standby: how much of the primaries' logs it has not received, where that is known.
    #[serde(default)]
    pub would_lose: Option<u64>,
    /// For how long that had been written, in milliseconds, where that is known.
    #[serde(default)]
    pub would_lose_ms: Option<u64>,
    /// What is not well about it though it stands: degraded, or reached in part.
    pub condition: Option<String>,
    /// Its targets, in the order of the file.
    pub targets: Vec<TargetView>,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetView {
    /// Its name.
    pub target: TargetName,
    /// Is it a database?
    pub database: bool,
    /// Where it is: a URL or an address.
    pub address: String,
    /// What every agent that reported believes of it.
    pub beliefs: BTreeMap<AgentId, BeliefView>,
}

/// One agent's belief, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeliefView {
    /// The state that votes.
    pub health: Health,
    /// Long enough up to move to.
    pub qualified: bool,
    /// Comes and goes too often to be moved to.
    pub flapping: bool,
    /// Failures since the last success.
    pub failures: u16,
    /// How long since the last success.
    pub quiet_ms: Option<u64>,
    /// The last failure, while there are any.
    pub fault: Option<Fault>,
    /// How long the last look took.
    pub took_ms: Option<f64>,
    /// What the database last said of itself.
    pub database: Option<DatabaseSight>,
    /// Is the believer heard, and does its word count?
    pub counts: bool,
}
