//! A view and some counters → OpenMetrics text.
//!
//! Names follow PEERS.md section 8. Labels are names from definitions and certificates, never addresses or texts, so their
//! number is bounded by what was agreed; but for resolvers, which have no name and are the few that this agent's file lists.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use consensus::model::{AppId, DecisionKind, Epoch, Health, Phase, TargetName, Verdict};
use consensus::outbox::Note;
use consensus::view::{
    AppView, BeliefView, FollowingView, MemberView, StackView, TargetView, View,
};
use http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::{broadcast, watch};

use super::Beside;
use crate::authority::{self, Transport};
use crate::guard::{DoorMeans, GuardView};
use crate::readiness::UnreadyView;
use crate::run::Event;
use crate::tails::TailView;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Timings = Family<Labels, Histogram, fn() -> Histogram>;

/// What is counted as it happens.
#[derive(Clone)]
pub struct Counters {
    events: Family<Labels, Counter>,
    decisions: Family<Labels, Counter>,
    actions: Family<Labels, Counter>,
    action_duration: Timings,
    failover_duration: Timings,
    requests: Family<Labels, Counter>,
}

impl Default for Counters {
    fn default() -> Self {
        let timings: fn() -> Histogram =
            || Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
        Self {
            events: Family::default(),
            decisions: Family::default(),
            actions: Family::default(),
            action_duration: Timings::new_with_constructor(timings),
            failover_duration: Timings::new_with_constructor(timings),
            requests: Family::default(),
        }
    }
}

impl Counters {
    /// Counts one answer.
    pub fn answered(&self, status: StatusCode) {
        self.requests.get_or_create(&vec![("code", status.as_str().into())]).inc();
    }

    /// Counts every event from now on.
    pub async fn follow(
        self,
        mut events: broadcast::Receiver<Arc<Event>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut begun = BTreeMap::new();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => self.count(&event, &mut begun),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn count(&self, event: &Event, begun: &mut BTreeMap<AppId, (Epoch, u64)>) {
        let sort = serde_json::to_value(&event.note)
            .ok()
            .and_then(|note| note["event"].as_str().map(str::to_owned))
            .unwrap_or_default();
        self.events.get_or_create(&vec![("event", sort)]).inc();
        match &event.note {
            Note::Learns { app, epoch, kind, phase, .. } => {
                let before = begun.get(app).filter(|(known, _)| known == epoch).copied();
                if before.is_none() {
                    self.decisions.get_or_create(&kind_label(app, *kind)).inc();
                    begun.insert(app.clone(), (*epoch, event.wall_ms));
                }
                if let (Some((_, since)), Phase::Idle) = (before, phase) {
                    let took = event.wall_ms.saturating_sub(since) as f64 / 1_000.0;
                    self.failover_duration.get_or_create(&kind_label(app, *kind)).observe(took);
                }
            }
            Note::Reports { app, took, what, .. } => {
                let outcome = if what.is_ok() { "done" } else { "failed" };
                let labels = vec![("app", app.to_string()), ("outcome", outcome.into())];
                self.actions.get_or_create(&labels).inc();
                self.action_duration.get_or_create(&labels).observe(took.as_secs_f64());
            }
            _ => {}
        }
    }
}

fn kind_label(app: &AppId, kind: DecisionKind) -> Labels {
    vec![("app", app.to_string()), ("kind", kind.to_string().replace(' ', "_"))]
}

/// Everything, as of now. `answered` is of DNS, where this agent serves it; `losses` are the history's lines not written and not
/// read.
pub fn text(
    view: &View,
    beside: &Beside,
    counters: &Counters,
    answered: Option<&authority::Counters>,
    losses: (u64, u64),
) -> String {
    let mut registry = Registry::with_prefix("quorate");
    agent(&mut registry, view, losses);
    members(&mut registry, view);
    apps(&mut registry, view);
    targets(&mut registry, view);
    following(&mut registry, view);
    resolvers(&mut registry, &beside.tails);
    guard(&mut registry, &beside.guard);
    readiness(&mut registry, view, &beside.readiness);
    if let Some(answered) = answered {
        dns(&mut registry, answered);
    }
    registry.register("events", "Events, by sort", counters.events.clone());
    registry.register("decisions", "Decisions learnt", counters.decisions.clone());
    registry.register("actions", "Actions that ended here", counters.actions.clone());
    registry.register_with_unit(
        "action_duration",
        "How long actions took here",
        Unit::Seconds,
        counters.action_duration.clone(),
    );
    registry.register_with_unit(
        "failover_duration",
        "From learning a decision to learning that it is carried out",
        Unit::Seconds,
        counters.failover_duration.clone(),
    );
    registry.register("http_requests", "Answers of the status server", counters.requests.clone());
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes everything");
    text
}

/// What this agent finds of endpoints that are followed.
fn following(registry: &mut Registry, view: &View) {
    let followed = || {
        view.apps.iter().flat_map(|app| {
            app.following.iter().map(move |it| {
                let labels = vec![
                    ("app", app.app.to_string()),
                    ("stack", it.stack.to_string()),
                    ("endpoint", it.name.to_string()),
                ];
                (labels, it)
            })
        })
    };
    let mut tell = |name, help, value: fn(&FollowingView) -> f64| {
        gauges(registry, name, help, None, followed().map(|(labels, it)| (labels, value(it))));
    };
    tell("followed_places", "Places agreed last", |it| it.agreed.len() as f64);
    tell("followed_told", "Does the source tell anything?", |it| flag(it.why.is_none()));
    tell("followed_failures", "How often the source told nothing since the start", |it| {
        it.failures as f64
    });
}

/// Who still hands out old addresses. Resolvers are few: their owner named them.
fn resolvers(registry: &mut Registry, tails: &[TailView]) {
    let each = || {
        tails.iter().flat_map(|tail| {
            tail.resolvers.iter().map(move |it| {
                let labels =
                    vec![("app", tail.app.to_string()), ("resolver", it.resolver.to_string())];
                (labels, it)
            })
        })
    };
    // One that does not tell is neither old nor new: it has no value, unless it gave an old address for another name.
    let told = each().filter(|(_, it)| it.why.is_none() || !it.old.is_empty());
    let old = told.map(|(labels, it)| (labels, flag(!it.old.is_empty())));
    let help = "Does the resolver hand out addresses of before the last move";
    gauges(registry, "resolver_old", help, None, old);
    let followed =
        each().filter_map(|(labels, it)| Some((labels, it.followed_ms? as f64 / 1_000.0)));
    let help = "How long after the last move was learned the resolver had followed";
    gauges(registry, "resolver_followed", help, Some(Unit::Seconds), followed);
}

/// The doors of this host, and its watchdog.
fn guard(registry: &mut Registry, guard: &GuardView) {
    let each = || {
        guard.doors.iter().map(|door| {
            let database = ("database", door.database.to_string());
            let by = match door.by {
                DoorMeans::Nftables => "nftables",
                DoorMeans::Engine => "engine",
            };
            (vec![("app", door.app.to_string()), ("by", by.to_owned()), database], door)
        })
    };
    let open = each().map(|(labels, door)| (labels, door.left_ms as f64 / 1_000.0));
    let help = "For how long the door of a database here stays open by itself";
    gauges(registry, "door_open", help, Some(Unit::Seconds), open);
    let failed = each().map(|(labels, door)| (labels, flag(door.trouble.is_some())));
    gauges(registry, "door_failed", "Could the door not be opened or shut", None, failed);
    let ruled = guard.doors.iter().any(|door| door.by == DoorMeans::Nftables);
    let laid = ruled.then(|| (Labels::new(), flag(guard.trouble.is_none())));
    gauges(registry, "doors_laid", "Do the rules of the doors here stand", None, laid);
    let watchdogs = || guard.watchdog.iter();
    let label = |device: &str| vec![("device", device.to_owned())];
    let armed = watchdogs().map(|it| (label(&it.device), flag(it.armed)));
    gauges(registry, "watchdog_armed", "Is this host reset if the agent stops", None, armed);
    let failed = watchdogs().map(|it| (label(&it.device), flag(it.trouble.is_some())));
    gauges(registry, "watchdog_failed", "Could the watchdog not be armed or rest", None, failed);
}

/// What the DNS server here answered.
fn dns(registry: &mut Registry, answered: &authority::Counters) {
    let by = |transport: Transport| vec![("transport", transport.as_str().to_owned())];
    let each = answered.answers().map(|(transport, code, count)| {
        let code = ("code", code.to_owned());
        (by(transport).into_iter().chain([code]).collect(), count)
    });
    counted(registry, "dns_answers", "Answers given, by transport and response code", each);
    let dropped = [Transport::Udp, Transport::Tcp].map(|it| (by(it), answered.dropped(it)));
    let help = "Packets that were no query at all, or whose answer could not be sent";
    counted(registry, "dns_dropped", help, dropped);
    for (name, help, count) in [
        ("dns_truncated", "Answers that did not fit a datagram", answered.truncated()),
        ("dns_limited", "Answers that a network asked for too often", answered.limited()),
        ("dns_turned_away", "Connections refused for being too many", answered.turned_away()),
        ("dns_batches", "How often datagrams were taken, all at once", answered.batches()),
        ("dns_sends", "How often answers to them were sent, all at once", answered.sends()),
    ] {
        let counter = Counter::<u64>::default();
        counter.inc_by(count);
        registry.register(name, help, counter);
    }
}

/// What would keep each stack from serving, counted; what concerns all stacks of an app counts for each.
fn readiness(registry: &mut Registry, view: &View, found: &[UnreadyView]) {
    let each = view.apps.iter().flat_map(|app| {
        app.stacks.iter().map(move |stack| {
            let of = |it: &&UnreadyView| {
                it.app == app.app && it.stack.as_ref().is_none_or(|it| *it == stack.stack)
            };
            let labels = vec![("app", app.app.to_string()), ("stack", stack.stack.to_string())];
            (labels, found.iter().filter(of).count() as f64)
        })
    });
    let help = "What this agent found that would keep the stack from serving";
    gauges(registry, "stack_unready", help, None, each);
}

/// Registers gauges made of `values`.
fn gauges(
    registry: &mut Registry,
    name: &str,
    help: &str,
    unit: Option<Unit>,
    values: impl IntoIterator<Item = (Labels, f64)>,
) {
    let family = Gauges::default();
    for (labels, value) in values {
        family.get_or_create(&labels).set(value);
    }
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, family),
        None => registry.register(name, help, family),
    }
}

/// Registers counters that stand at `values`.
fn counted(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels, u64)>,
) {
    let family = Family::<Labels, Counter>::default();
    for (labels, value) in values {
        family.get_or_create(&labels).inc_by(value);
    }
    registry.register(name, help, family);
}

fn flag(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn agent(registry: &mut Registry, view: &View, (lost, garbled): (u64, u64)) {
    let mut one = |name, help, value: f64| {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let quorum = &view.quorum;
    one("quorum_available", "Is a majority of voters heard", flag(quorum.needed <= quorum.heard));
    one("voters", "Voters of the mesh", quorum.voters as f64);
    one("voters_heard", "Voters heard directly, this agent included", quorum.heard as f64);
    one("voters_needed", "Voters needed to decide", quorum.needed as f64);
    one(
        "vote_counts",
        "Does this agent's word count",
        flag(view.abstention.is_none() && view.voter),
    );
    one("local_health", "How unwell this agent is itself, 0 to 7", f64::from(view.health.score));
    one("canaries", "Canaries of this agent", view.health.canaries.len() as f64);
    let answering = view.health.canaries.iter().filter(|it| it.answers).count();
    one("canaries_answering", "Canaries that answered just now", answering as f64);
    one("history_lines_lost", "History lines that could not be written", lost as f64);
    one("history_lines_garbled", "History lines that could not be read", garbled as f64);
    let build = vec![("version", env!("CARGO_PKG_VERSION").into())];
    gauges(registry, "build_info", "The agent's version", None, [(build, 1.0)]);
    let who = vec![
        ("agent", view.agent.to_string()),
        ("region", view.region.to_string()),
        ("mesh", view.mesh.clone()),
        ("role", if view.voter { "voter" } else { "observer" }.into()),
    ];
    gauges(registry, "agent_info", "Who this agent is", None, [(who, 1.0)]);
}

fn members(registry: &mut Registry, view: &View) {
    let labels = |member: &MemberView| {
        let region = member.region.as_ref().map_or_else(String::new, ToString::to_string);
        vec![("agent", member.agent.to_string()), ("region", region)]
    };
    let members = || view.members.iter();
    let heard = members().map(|member| (labels(member), flag(member.heard)));
    gauges(registry, "member_heard", "Is the agent heard directly", None, heard);
    let alive = members().map(|member| (labels(member), flag(member.alive)));
    gauges(registry, "member_alive", "Does membership hold the agent for alive", None, alive);
    let rtt = members().filter_map(|m| Some((labels(m), m.rtt_ms? / 1_000.0)));
    gauges(registry, "gossip_rtt", "The last round trip", Some(Unit::Seconds), rtt);
}

fn apps(registry: &mut Registry, view: &View) {
    let label = |app: &AppView| vec![("app", app.app.to_string())];
    let apps = || view.apps.iter();
    let epochs = apps().map(|app| (label(app), f64::from(app.epoch.0)));
    gauges(registry, "app_epoch", "The last decision's epoch", None, epochs);
    let revisions = apps().map(|app| (label(app), app.revision as f64));
    gauges(registry, "app_revision", "The definition's revision", None, revisions);
    let ready = apps().map(|app| (label(app), flag(app.unready.is_empty())));
    gauges(registry, "app_ready", "Would a failover succeed right now", None, ready);
    let frozen = apps().map(|app| (label(app), flag(app.freeze.is_some())));
    gauges(registry, "app_frozen", "Do people hold the mesh back", None, frozen);
    let shortened = apps().map(|app| (label(app), f64::from(app.shortened)));
    let about = "How far lifetimes of its answers are shortened, in steps";
    gauges(registry, "app_shortened", about, None, shortened);
    let flapping = apps().map(|app| (label(app), flag(app.damping.flapping)));
    gauges(registry, "app_flapping", "Is it left alone until it is acknowledged", None, flapping);
    let cooling = apps().map(|app| (label(app), app.damping.cooling_ms as f64 / 1_000.0));
    let about = "How long the mesh still waits after what it did by itself";
    gauges(registry, "app_cooldown", about, Some(Unit::Seconds), cooling);
    let phases = apps().flat_map(|app| {
        PHASES.map(|phase| {
            let labels = [("app", app.app.to_string()), ("phase", phase.to_string())];
            (labels.into(), flag(app.phase == phase))
        })
    });
    gauges(registry, "app_phase", "How far the last decision is carried out", None, phases);
    let stacks = || apps().flat_map(|app| app.stacks.iter().map(move |stack| (app, stack)));
    let label = |app: &AppView, stack: &StackView| {
        vec![("app", app.app.to_string()), ("stack", stack.stack.to_string())]
    };
    let active = stacks().map(|(app, stack)| (label(app, stack), flag(stack.active)));
    gauges(registry, "stack_active", "Do the answers name the stack", None, active);
    let fit = stacks().map(|(app, stack)| (label(app, stack), flag(stack.unfit.is_empty())));
    gauges(registry, "stack_fit", "Could the stack be moved to", None, fit);
    let loss =
        stacks().filter_map(|(app, stack)| Some((label(app, stack), stack.would_lose? as f64)));
    let help = "How much of the primaries' logs a move to the stack would leave behind now";
    gauges(registry, "promotion_loss", help, Some(Unit::Bytes), loss);
    let loss = stacks().filter_map(|(app, stack)| {
        Some((label(app, stack), stack.would_lose_ms? as f64 / 1_000.0))
    });
    let help = "For how long what a move to the stack would leave behind now had been written";
    gauges(registry, "promotion_loss", help, Some(Unit::Seconds), loss);
    let warnings = apps().flat_map(|app| {
        app.warnings.iter().map(|warning| {
            let labels = vec![
                ("app", app.app.to_string()),
                ("stack", warning.target.stack.to_string()),
                ("target", warning.target.name.to_string()),
                ("kind", warning.kind.to_string()),
            ];
            (labels, 1.0)
        })
    });
    let help = "What is not as it should be with a database, though nothing has failed yet";
    gauges(registry, "database_warning", help, None, warnings);
    let down = stacks().flat_map(|(app, stack)| {
        let parts = [("web", stack.web), ("data", stack.data)];
        parts.into_iter().filter_map(move |(part, verdict)| {
            let mut labels = label(app, stack);
            labels.push(("part", part.into()));
            Some((labels, flag(verdict? == Verdict::Down)))
        })
    });
    gauges(registry, "stack_down", "Does the rule hold the stack for down", None, down);
}

const PHASES: [Phase; 6] = [
    Phase::Idle,
    Phase::Fencing,
    Phase::Aborting,
    Phase::Promoting,
    Phase::Publishing,
    Phase::Verifying,
];
const HEALTHS: [Health; 4] = [Health::Up, Health::Degraded, Health::Down, Health::Unknown];

fn targets(registry: &mut Registry, view: &View) {
    let all: Vec<_> = view
        .apps
        .iter()
        .flat_map(|app| app.stacks.iter().map(move |stack| (app, stack)))
        .flat_map(|(app, stack)| stack.targets.iter().map(move |target| (app, stack, target)))
        .collect();
    let label = |(app, stack, target): &(&AppView, &StackView, &TargetView)| {
        vec![
            ("app", app.app.to_string()),
            ("stack", stack.stack.to_string()),
            ("target", target.target.to_string()),
        ]
    };
    let own =
        |target: &TargetView| -> Option<BeliefView> { target.beliefs.get(&view.agent).cloned() };
    let up =
        all.iter().filter_map(|all| Some((label(all), flag(own(all.2)?.health == Health::Up))));
    gauges(registry, "target_up", "Does this agent see the target up", None, up);
    let took = all.iter().filter_map(|all| Some((label(all), own(all.2)?.took_ms? / 1_000.0)));
    let help = "How long this agent's last look took";
    gauges(registry, "probe_duration", help, Some(Unit::Seconds), took);
    let believers = all.iter().flat_map(|all| {
        HEALTHS.map(|health| {
            let mut labels = label(all);
            labels.push(("health", health.to_string()));
            let count = all.2.beliefs.values().filter(|b| b.health == health && b.counts).count();
            (labels, count as f64)
        })
    });
    gauges(registry, "target_believers", "Agents whose word counts, by belief", None, believers);
    let replicas: Vec<_> = all
        .iter()
        .filter_map(|all| Some((all, own(all.2)?.database.filter(|sight| sight.replica)?)))
        .collect();
    let seconds = replicas.iter().filter_map(|(all, sight)| {
        // Whoever has all that there is lags behind nobody, however long nothing came.
        let all_of_it = primary_position(view, all.0, &all.2.target)
            .is_some_and(|primary| primary <= sight.replayed);
        let lag = if all_of_it { Duration::ZERO } else { sight.lag? };
        Some((label(all), lag.as_secs_f64()))
    });
    let help = "How far a replica's replay is behind in time";
    gauges(registry, "replica_lag", help, Some(Unit::Seconds), seconds);
    let bytes = replicas.iter().filter_map(|(all, sight)| {
        let primary = primary_position(view, all.0, &all.2.target)?;
        Some((label(all), primary.saturating_sub(sight.position) as f64))
    });
    let help = "How much of its primary's log a replica has not received";
    gauges(registry, "replica_lag", help, Some(Unit::Bytes), bytes);
}

/// Where the primary of a replica is, as far as this agent sees.
fn primary_position(view: &View, app: &AppView, name: &TargetName) -> Option<u64> {
    app.stacks
        .iter()
        .flat_map(|stack| &stack.targets)
        .filter(|target| target.target == *name)
        .filter_map(|target| target.beliefs.get(&view.agent)?.database.as_ref())
        .filter(|sight| !sight.replica)
        .map(|sight| sight.position)
        .max()
}
