//! [`Output::Probe`](consensus::outbox::Output::Probe) → a task with a limit → [`Input::Observation`].
//!
//! Every look is answered exactly once: by what it found, or by an observation that counts neither way if it could not
//! be taken, panicked, or found nothing because this machine slept. What an observation means is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use consensus::model::{
    AppId, CredentialId, Fault, FaultKind, Observation, Outcome, Phases, TargetId, TargetName,
    Watched,
};
use consensus::moment::Moment;
use consensus::outbox::{Input, Look, Subject};
use probe::{Login, Means, Sighted};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::clock;
use crate::config::{Credential, Credentials, DoorConfig};

/// Looks in flight. Each holds one socket; 512 leave room below the usual 1,024 open files of a process.
const FLIGHT_LIMIT: usize = 512;

/// A look ends by itself at its limit; one that is still there so much later hangs in code that never waits.
const GRACE: Duration = Duration::from_secs(1);

/// More than this between the two clocks, and the machine slept during the look.
const SLEEP: Duration = Duration::from_millis(250);

/// Takes looks.
#[derive(Clone)]
pub struct Probes {
    means: Means,
    logins: Arc<BTreeMap<CredentialId, Option<Arc<Login>>>>,
    flight: Arc<Semaphore>,
    heartbeats: Heartbeats,
    inputs: mpsc::Sender<Input>,
}

/// The databases behind this host's doors that are written to with each look, and until when they may be.
#[derive(Clone, Debug, Default)]
struct Heartbeats {
    named: Arc<BTreeSet<(AppId, TargetName)>>,
    open: Arc<Mutex<BTreeMap<TargetId, Moment>>>,
}

impl Heartbeats {
    fn of(doors: &[DoorConfig]) -> Self {
        let named = doors.iter().filter(|door| door.heartbeat);
        let named = named.map(|door| (door.app.clone(), door.database.clone()));
        Self { named: Arc::new(named.collect()), open: Arc::default() }
    }

    fn hold(&self, target: TargetId, until: Moment) {
        if self.named.contains(&(target.app.clone(), target.name.clone())) {
            self.doors().insert(target, until);
        }
    }

    /// May this database be written to now?
    fn may_beat(&self, target: &TargetId) -> bool {
        self.doors().get(target).is_some_and(|until| clock::now() < *until)
    }

    fn doors(&self) -> MutexGuard<'_, BTreeMap<TargetId, Moment>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probes {
    /// Looks from this source address with these secrets, and tells what was seen to `inputs`. Reads the host's
    /// resolver configuration and certificate authorities.
    pub fn new(
        source: Option<IpAddr>,
        credentials: &Credentials,
        doors: &[DoorConfig],
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let heartbeats = Heartbeats::of(doors);
        Self { heartbeats, ..Self::by(Means::of_host(source), credentials, FLIGHT_LIMIT, inputs) }
    }

    /// The door before this database stays open until then.
    pub fn hold(&self, target: TargetId, until: Moment) {
        self.heartbeats.hold(target, until);
    }

    fn by(
        means: Means,
        credentials: &Credentials,
        flight: usize,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let logins = credentials.iter().map(|(name, credential)| {
            let login = match credential {
                Credential::Login(login) => Some(login.clone()),
                Credential::Key { .. } | Credential::Token { .. } => None,
            };
            (name.clone(), login)
        });
        Self {
            means,
            logins: Arc::new(logins.collect()),
            flight: Arc::new(Semaphore::new(flight)),
            heartbeats: Heartbeats::default(),
            inputs,
        }
    }

    /// Takes a look in a task of its own; returns at once. Must be called inside a Tokio runtime.
    pub fn perform(&self, look: Look) {
        let began = clock::now();
        let watched = look.watched.clone();
        let task = match (self.means_for(&look), self.flight.clone().try_acquire_owned()) {
            (Err(fault), _) => Err(fault),
            (_, Err(_)) => Err(local("too many looks in flight: lengthen `interval`")),
            (Ok(means), Ok(permit)) => Ok(take(look, means, self.heartbeats.clone(), permit)),
        };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let sighted = match task {
                Ok(task) => task.await,
                Err(fault) => nothing(fault, Duration::ZERO),
            };
            let observation = observation(watched, began, clock::now(), sighted);
            // Nobody listens any more once the loop has ended.
            let _ = inputs.send(Input::Observation(observation)).await;
        });
    }

    fn means_for(&self, look: &Look) -> Result<Means, Fault> {
        let Subject::Database(database) = &look.subject else { return Ok(self.means.clone()) };
        let name = &database.credential;
        match self.logins.get(name) {
            Some(Some(login)) => Ok(self.means.with_login(Some(login.clone()))),
            Some(None) => {
                let text = format!("credential `{name}` is a key: a database needs a user");
                Err(Fault::new(FaultKind::NoCredential, text))
            }
            // The look says which credential is missing.
            None => Ok(self.means.with_login(None)),
        }
    }
}

/// Runs a look apart, so that even its panic is an answer.
async fn take(
    look: Look,
    means: Means,
    heartbeats: Heartbeats,
    permit: OwnedSemaphorePermit,
) -> Sighted {
    let limit = look.limit;
    contain(limit, async move {
        let sighted = probe::look(&look, &means).await;
        let sighted = tried(sighted, &look, &means, &heartbeats).await;
        drop(permit);
        sighted
    })
    .await
}

/// A primary that was found open is written to in what is left of the limit, if that is asked for: what it says of itself
/// says nothing of its disk.
async fn tried(
    mut sighted: Sighted,
    look: &Look,
    means: &Means,
    heartbeats: &Heartbeats,
) -> Sighted {
    let (Subject::Database(database), Watched::Target(target)) = (&look.subject, &look.watched)
    else {
        return sighted;
    };
    let open = matches!(&sighted.outcome, Outcome::Up(Some(it)) if !it.replica && !it.read_only);
    if open && heartbeats.may_beat(target) {
        let (began, left) = (Instant::now(), look.limit.saturating_sub(sighted.took));
        if let Err(fault) = probe::heartbeat(target, database, means, left).await {
            sighted.outcome = Outcome::Failed(fault);
        }
        sighted.took += began.elapsed();
    }
    sighted
}

async fn contain(limit: Duration, look: impl Future<Output = Sighted> + Send + 'static) -> Sighted {
    let mut task = tokio::spawn(look);
    match tokio::time::timeout(limit.saturating_add(GRACE), &mut task).await {
        Ok(Ok(sighted)) => sighted,
        Ok(Err(error)) => nothing(local(&format!("the look broke off: {error}")), limit),
        Err(_) => {
            task.abort();
            nothing(local("the look hung: is this agent overloaded?"), limit.saturating_add(GRACE))
        }
    }
}

fn observation(watched: Watched, began: Moment, ended: Moment, sighted: Sighted) -> Observation {
    let Sighted { phases, outcome, took } = sighted;
    let outcome = match outcome {
        Outcome::Failed(_) if ended.since(began) > took + GRACE + SLEEP => {
            Outcome::Invalid(local("this machine slept, or was not run, during the look"))
        }
        outcome => outcome,
    };
    Observation { watched, began, took, phases, outcome }
}

fn nothing(fault: Fault, took: Duration) -> Sighted {
    Sighted { phases: Phases::default(), outcome: Outcome::Invalid(fault), took }
}

fn local(text: &str) -> Fault {
    Fault::new(FaultKind::Local, text)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use consensus::model::{Database, Endpoint, Engine, Expect, Scheme, TargetId};
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn target() -> TargetId {
        TargetId {
            app: "shop".parse().expect("a name"),
            stack: "a".parse().expect("a name"),
            name: "web-1".parse().expect("a name"),
        }
    }

    fn watched() -> Watched {
        Watched::Target(target())
    }

    fn port_look(at: SocketAddr, limit: Duration) -> Look {
        let endpoint = Endpoint {
            name: target().name,
            scheme: Scheme::Http,
            address: at.ip().to_string(),
            port: at.port(),
            path: "/".to_owned(),
            host: None,
            expect: Expect::default(),
            authority: None,
        };
        Look { watched: watched(), subject: Subject::Endpoint(Arc::new(endpoint)), limit }
    }

    fn database_look(credential: &str) -> Look {
        let database = Database {
            name: "db".parse().expect("a name"),
            engine: Engine::Postgres,
            address: "127.0.0.1".to_owned(),
            port: 1,
            credential: credential.parse().expect("a name"),
            guard: None,
            view: Default::default(),
        };
        Look { watched: watched(), subject: Subject::Database(Arc::new(database)), limit: LIMIT }
    }

    fn probes(flight: usize, credentials: &Credentials) -> (Probes, mpsc::Receiver<Input>) {
        let (inputs, receiver) = mpsc::channel(1);
        (Probes::by(Means::of_host(None), credentials, flight, inputs), receiver)
    }

    async fn next(receiver: &mut mpsc::Receiver<Input>) -> Observation {
        let input = tokio::time::timeout(LIMIT * 2, receiver.recv()).await.expect("in time");
        match input {
            Some(Input::Observation(observation)) => observation,
            other => panic!("expected an observation, found {other:?}"),
        }
    }

    fn fault(observation: &Observation) -> &Fault {
        match &observation.outcome {
            Outcome::Failed(fault) | Outcome::Invalid(fault) => fault,
            Outcome::Up(_) => panic!("expected a fault, found {observation:?}"),
        }
    }

    #[tokio::test]
    async fn every_look_is_answered_once_also_beyond_the_flight_limit() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = silent.local_addr().expect("bound");
        let (probes, mut receiver) = probes(2, &Credentials::new());
        let limit = Duration::from_millis(300);
        for _ in 0..5 {
            probes.perform(port_look(at, limit));
        }
        let mut kinds = Vec::new();
        for _ in 0..5 {
            let observation = next(&mut receiver).await;
            assert_eq!(observation.watched, watched());
            assert!(observation.began <= clock::now());
            kinds.push(fault(&observation).kind);
        }
        kinds.sort();
        let (timeout, local) = (FaultKind::Timeout, FaultKind::Local);
        assert_eq!(kinds, [timeout, timeout, local, local, local]);
        // The room is free again, and nothing was answered twice.
        probes.perform(port_look(at, limit));
        assert_eq!(fault(&next(&mut receiver).await).kind, FaultKind::Timeout);
        drop(probes);
        assert!(receiver.recv().await.is_none());
    }

    #[tokio::test]
    async fn credentials_are_found_by_name() {
        let key = Credential::Key {
            name: "k".to_owned(),
            algorithm: "hmac-sha256".to_owned(),
            secret: vec![],
        };
        let login = Credential::Login(Arc::new(Login::new("quorate", None)));
        let credentials = Credentials::from([
            ("dns".parse().expect("a name"), key),
            ("shop-db".parse().expect("a name"), login),
        ]);
        let (probes, mut receiver) = probes(8, &credentials);
        for (credential, kind, words) in [
            ("other", FaultKind::NoCredential, "no credential `other`"),
            ("dns", FaultKind::NoCredential, "`dns` is a key"),
            ("shop-db", FaultKind::Refused, "refused"),
        ] {
            probes.perform(database_look(credential));
            let observation = next(&mut receiver).await;
            assert_eq!(fault(&observation).kind, kind, "{credential}");
            assert!(fault(&observation).text.contains(words), "{}", fault(&observation));
        }
    }

    #[tokio::test]
    async fn a_look_that_panics_or_hangs_counts_neither_way() {
        let broken = contain(LIMIT, async { panic!("as a test") }).await;
        assert!(matches!(broken.outcome, Outcome::Invalid(fault) if fault.text.contains("broke")));
        let hung = contain(Duration::ZERO, std::future::pending()).await;
        assert!(matches!(hung.outcome, Outcome::Invalid(fault) if fault.text.contains("hung")));
    }

    #[test]
    fn a_failure_during_which_the_machine_slept_counts_neither_way() {
        let began = Moment::from_micros(1_000_000);
        let failed = || Sighted {
            phases: Phases::default(),
            outcome: Outcome::Failed(Fault::new(FaultKind::Timeout, "no end")),
            took: Duration::from_secs(4),
        };
        let soon = observation(watched(), began, began + Duration::from_secs(4), failed());
        assert!(matches!(soon.outcome, Outcome::Failed(_)));
        let late = observation(watched(), began, began + Duration::from_secs(60), failed());
        assert!(matches!(late.outcome, Outcome::Invalid(_)));
    }
}
