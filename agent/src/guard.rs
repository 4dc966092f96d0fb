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
//! Where the host has a watchdog for it (`watchdog`), an open door is also a host that is reset before the lease ends, unless
//! this process shuts the door first and says so. A process that cannot know how long it may go on shuts its doors: at
//! its start and at its orderly end.
//!
//! This room knows nothing of leases, voters or databases: it is told ports and moments.

mod nft;
mod rejoin;
mod shown;
mod watchdog;

use std::time::Duration;

use consensus::model::TargetId;
use consensus::moment::Moment;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

pub use self::nft::DoorFault;
pub use self::rejoin::Rejoins;
pub use self::shown::{DoorMeans, DoorView, Doors, GuardView, WatchdogView, WeakDoor, WeakTurn};
use self::shown::{Kept, KeptDoor};
use self::watchdog::Watchdog;
pub use self::watchdog::{Device, LEAST as WATCHDOG_LEAST, WatchdogFault};
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
    shown: watch::Receiver<Kept>,
}

#[derive(Debug)]
enum Order {
    Open { door: usize, until: Moment },
    Shut { door: usize, done: oneshot::Sender<Result<(), DoorFault>> },
    Stop { done: oneshot::Sender<()> },
}

impl Guard {
    /// Lays the rules, by which every door is shut unless an earlier run of this agent left it open for a while. Within a
    /// tokio runtime.
    ///
    /// # Errors
    /// If the kernel's filter cannot be had: then nothing here would be a door. If the watchdog cannot be relied upon.
    pub async fn start(
        doors: Vec<DoorConfig>,
        watchdog: Option<Device>,
    ) -> Result<Self, DoorFault> {
        let (orders, waiting) = mpsc::channel(ORDERS);
        let (show, shown) = watch::channel(Kept::default());
        if !doors.is_empty() {
            again(&doors, Step::Lay).await?;
            let mut keeper = Keeper::new(doors.clone(), show);
            if let Some(device) = watchdog {
                keeper.watch(device).await?;
            }
            tokio::spawn(keeper.keep(waiting));
        }
        Ok(Self { doors, orders, shown })
    }

    /// The doors as they are by now, for people.
    pub fn doors(&self) -> Doors {
        Doors::new(self.shown.clone())
    }

    /// Before this process ends in order: with a watchdog, shuts the doors and disarms it. Without one they stay open for what
    /// is left of their leases, so that a guard that is back by then is not missed.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        // Without doors nobody takes orders.
        if self.orders.send(Order::Stop { done }).await.is_ok() {
            let _ = stopped.await;
        }
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
struct Keeper {
    doors: Vec<DoorConfig>,
    /// Until when each door may be open, by what it was told; [`Moment::ZERO`] for one that is known to be shut. Kept with a
    /// watchdog only.
    held: Vec<Moment>,
    watchdog: Option<Watchdog>,
    /// What is shown of them.
    shown: watch::Sender<Kept>,
}

impl Keeper {
    fn new(doors: Vec<DoorConfig>, shown: watch::Sender<Kept>) -> Self {
        let held = vec![Moment::ZERO; doors.len()];
        let shut = |door: &DoorConfig| KeptDoor {
            app: door.app.clone(),
            database: door.database.clone(),
            until: Moment::ZERO,
            trouble: None,
        };
        let kept = doors.iter().map(shut).collect();
        shown.send_replace(Kept { doors: kept, ..Kept::default() });
        Self { doors, held, watchdog: None, shown }
    }

    /// Shows what came of opening a door until then, or of shutting it.
    fn show(&self, door: usize, done: Result<Moment, String>) {
        self.shown.send_modify(|kept| match (&mut kept.doors[door], done) {
            (door, Ok(until)) => (door.until, door.trouble) = (until, None),
            (door, Err(why)) => door.trouble = Some(why),
        });
    }

    /// Shows how the watchdog is, and what went wrong with it just now.
    fn show_watchdog(&self, trouble: Option<String>) {
        let view = self.watchdog.as_ref().map(|it| it.view(trouble));
        self.shown.send_if_modified(|kept| {
            let other = kept.watchdog != view;
            kept.watchdog = view;
            other
        });
    }

    /// Nobody knows until when an earlier run held the doors open, and it may have left the watchdog armed: so the doors are
    /// shut, and then it is disarmed.
    async fn watch(&mut self, device: Device) -> Result<(), DoorFault> {
        for door in 0..self.doors.len() {
            again(&self.doors, Step::Shut(door)).await?;
        }
        self.watchdog = Some(Watchdog::find(device)?);
        self.show_watchdog(None);
        Ok(())
    }

    async fn keep(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut tend = interval(TEND);
        tend.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pet = interval(watchdog::PET);
        pet.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = pet.tick(), if self.watchdog.is_some() => self.pet().await,
                order = orders.recv() => match order {
                    Some(Order::Open { door, until }) => self.open(door, until).await,
                    Some(Order::Shut { door, done }) => {
                        let shut = self.shut(door).await;
                        // Whoever asked waits for it, or has ended.
                        let _ = done.send(shut);
                    }
                    Some(Order::Stop { done }) => {
                        self.stop().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                _ = tend.tick() => self.tend().await,
            }
        }
    }

    /// Somebody may have emptied the host's filter. Where the rules cannot be laid again every door may stand open.
    async fn tend(&mut self) {
        let laid = again(&self.doors, Step::Lay).await.map_err(|why| line(&why));
        if let Err(why) = &laid {
            tracing::error!("cannot see to the doors: {why}");
        }
        self.shown.send_modify(|kept| kept.trouble = laid.err());
    }

    /// The watchdog is armed before a door is opened; where it cannot be, the door is shut.
    async fn open(&mut self, door: usize, until: Moment) {
        let DoorConfig { app, database, .. } = &self.doors[door];
        let name = format!("{app}/{database}");
        if let Some(watchdog) = &mut self.watchdog {
            self.held[door] = until;
            let armed = watchdog.arm(earliest(&self.held).unwrap_or(until));
            if let Err(why) = armed {
                let why = line(&DoorFault::from(why));
                tracing::error!("cannot hold the door of {name} open: {why}");
                self.shut_or_say(door).await;
                // Behind the shutting, which may have disarmed it.
                return self.show_watchdog(Some(why));
            }
            self.show_watchdog(None);
        }
        let opened = again(&self.doors, Step::Open(door, until)).await;
        if let Err(why) = &opened {
            tracing::error!("cannot hold the door of {name} open: {why}");
        }
        self.show(door, opened.map(|()| until).map_err(|why| line(&why)));
    }

    async fn shut(&mut self, door: usize) -> Result<(), DoorFault> {
        let shut = again(&self.doors, Step::Shut(door)).await;
        self.show(door, shut.as_ref().map(|()| Moment::ZERO).map_err(|why| line(why)));
        shut?;
        self.held[door] = Moment::ZERO;
        if let Some(watchdog) = &mut self.watchdog
            && earliest(&self.held).is_none()
        {
            let trouble = watchdog.rest().err().map(|why| line(&why));
            if let Some(why) = &trouble {
                tracing::error!(
                    "cannot disarm the watchdog, so the host is about to be reset: {why}"
                );
            }
            self.show_watchdog(trouble);
        }
        Ok(())
    }

    /// Tells the watchdog that all is well: doors whose lease is about to end are shut first.
    async fn pet(&mut self) {
        let now = clock::now();
        for door in 0..self.doors.len() {
            let until = self.held[door];
            if until != Moment::ZERO && until.since(now) < watchdog::LEAST {
                self.shut_or_say(door).await;
            }
        }
        if let (Some(watchdog), Some(until)) = (&mut self.watchdog, earliest(&self.held)) {
            let trouble = watchdog.arm(until).err().map(|why| line(&why));
            if let Some(why) = &trouble {
                tracing::error!("does not pet the watchdog: {why}");
            }
            self.show_watchdog(trouble);
        }
    }

    async fn shut_or_say(&mut self, door: usize) {
        if let Err(why) = self.shut(door).await {
            // What cannot be shut is still held, and the watchdog is petted for it no more.
            let DoorConfig { app, database, .. } = &self.doors[door];
            tracing::error!(
                "cannot shut the door of {app}/{database}, so the host is about to be reset: {why}"
            );
        }
    }

    async fn stop(&mut self) {
        if self.watchdog.is_some() {
            for door in 0..self.doors.len() {
                self.shut_or_say(door).await;
            }
        }
    }
}

/// When the first lease ends of those that a door may be open by.
fn earliest(held: &[Moment]) -> Option<Moment> {
    held.iter().copied().filter(|until| *until != Moment::ZERO).min()
}

/// An error and its causes as one line.
fn line(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(line);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
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
