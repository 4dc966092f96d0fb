//! The door in front of a database on this host: open while the kernel's own timer runs, and shut in any other case.
//!
//! What is opened is opened *until* a moment, and closes by itself, whatever becomes of this process, of its clock or of
//! its host's load (PROTOCOL.md C.3). Two rules make that so:
//!
//! * Opening takes two steps. The first lays a ticket into the kernel that lives for [`nft::TICKET`]; then the clock is read,
//!   and the second step hands the ticket in together with what was left of the lease by that clock, all or nothing. A
//!   process that was stopped between reading the clock and acting on it finds its ticket gone, so that a door is never open
//!   longer than a ticket lives beyond what it was told. The core's margin is larger than that.
//! * Shutting is waited for: whoever says that a door is shut says so behind it. A door that cannot be shut ends the process,
//!   and the kernel's timer shuts it.
//!
//! This room knows nothing of leases, voters or databases: it is told ports and moments.

mod nft;
mod rejoin;

use std::time::Duration;

use consensus::model::TargetId;
use consensus::moment::Moment;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

pub use self::nft::DoorFault;
pub use self::rejoin::Rejoins;
use crate::clock;
use crate::config::DoorConfig;

/// Somebody may have emptied the host's filter: the rules are laid again so often.
const TEND: Duration = Duration::from_millis(2_500);
/// Orders that wait. Each guard is asked for one in 2.5 s a database.
const ORDERS: usize = 256;
/// How often a step is tried.
const TRIES: usize = 3;
/// Less is not worth opening for.
const LEAST: Duration = Duration::from_millis(100);

/// The doors of this host.
#[derive(Debug)]
pub struct Guard {
    doors: Vec<DoorConfig>,
    orders: mpsc::Sender<Order>,
}

#[derive(Debug)]
enum Order {
    Open { door: usize, until: Moment },
    Shut { door: usize, done: oneshot::Sender<Result<(), DoorFault>> },
}

impl Guard {
    /// Lays the rules, by which every door is shut unless an earlier run of this agent left it open for a while. Within a
    /// tokio runtime.
    ///
    /// # Errors
    /// If the kernel's filter cannot be had: then nothing here would be a door.
    pub async fn start(doors: Vec<DoorConfig>) -> Result<Self, DoorFault> {
        let (orders, waiting) = mpsc::channel(ORDERS);
        if !doors.is_empty() {
            again(&doors, Step::Lay).await?;
            tokio::spawn(keep(doors.clone(), waiting));
        }
        Ok(Self { doors, orders })
    }

    /// Keeps a database's door open until then, or shuts it if that has passed.
    ///
    /// # Errors
    /// If it cannot be shut.
    pub async fn hold(&self, target: &TargetId, until: Moment) -> Result<(), DoorFault> {
        let named = |door: &DoorConfig| door.app == target.app && door.database == target.name;
        // The core asks for none that it was not told of.
        let Some(door) = self.doors.iter().position(named) else { return Ok(()) };
        if clock::now() < until {
            // Where so many wait that there is no room, the next renewal comes in time.
            let _ = self.orders.try_send(Order::Open { door, until });
            return Ok(());
        }
        let (done, shut) = oneshot::channel();
        let sent = self.orders.send(Order::Shut { door, done }).await;
        match (sent, shut.await) {
            (Ok(()), Ok(shut)) => shut,
            _ => Err(DoorFault::Gone),
        }
    }
}

/// Carries out orders, one after another, and sees to it that the rules stay.
async fn keep(doors: Vec<DoorConfig>, mut orders: mpsc::Receiver<Order>) {
    let mut tend = interval(TEND);
    tend.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Open { door, until }) => open(&doors, door, until).await,
                Some(Order::Shut { door, done }) => {
                    let shut = again(&doors, Step::Shut(door)).await;
                    // Whoever asked waits for it, or has ended.
                    let _ = done.send(shut);
                }
                None => return,
            },
            _ = tend.tick() => {
                if let Err(why) = again(&doors, Step::Lay).await {
                    tracing::error!("cannot see to the doors: {why}");
                }
            }
        }
    }
}

async fn open(doors: &[DoorConfig], door: usize, until: Moment) {
    if let Err(why) = again(doors, Step::Open(door, until)).await {
        let DoorConfig { app, database, .. } = &doors[door];
        tracing::error!("cannot hold the door of {app}/{database} open: {why}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Lay,
    Open(usize, Moment),
    Shut(usize),
}

/// Tries a few times: on a busy host a call takes too long now and then.
async fn again(doors: &[DoorConfig], step: Step) -> Result<(), DoorFault> {
    let mut last = take(doors, step).await;
    for _ in 1..TRIES {
        if last.is_err() {
            last = take(doors, step).await;
        }
    }
    last
}

async fn take(doors: &[DoorConfig], step: Step) -> Result<(), DoorFault> {
    match step {
        Step::Lay => nft::lay(doors).await,
        Step::Shut(door) => nft::shut(door).await,
        Step::Open(door, until) => {
            nft::ticket(door, &doors[door]).await?;
            let left = until.since(clock::now());
            match left < LEAST {
                true => Ok(()),
                false => nft::open(door, &doors[door], left).await,
            }
        }
    }
}
