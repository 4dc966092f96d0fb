//! The host's watchdog beside its doors: while a door is open and this process does not say so in time, the kernel resets
//! the host.
//!
//! It covers what nftables cannot: rules that somebody flushed while the guard was dead, and writers that come over loopback
//! or a Unix socket. It is no door by itself, for all it can do is to end the host; so a door is shut by its rules first,
//! and then the watchdog rests.
//!
//! The host is reset before the lease ends, whatever becomes of this process (`period`):
//!
//! * Linux starts a watchdog's time anew when its device is closed without the magic character, and so when its holder is
//!   killed (`watchdog_release` in the kernel's `drivers/watchdog/watchdog_dev.c`). A time of `T` may so last for `2 T`:
//!   Patroni halves its lease for the same reason (`safety_margin = -1`).
//! * Arming takes two steps, as opening does. The first sets [`TICKET`], *then* the clock is read, and the second sets what
//!   follows from what is left. A process that is stopped in between finds no host to come back to.
//!
//! A driver that is disarmed by any close, or that cannot be disarmed, is refused, and so is one that rounds up.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use consensus::moment::Moment;
use watchdog_device::{OptionFlags, Watchdog as Open};

use super::shown::WatchdogView;
use crate::clock;

/// For how long the first step of arming lasts: the least that the kernel's interface can say.
const TICKET: Duration = Duration::from_secs(1);

/// How often it is told that all is well: twice in the shortest time that it is set to.
pub(super) const PET: Duration = Duration::from_millis(500);

/// With less than this left of a lease no whole second can be set (`period`): the guard shuts the door itself by then.
pub const LEAST: Duration = Duration::from_secs(3);

/// The device's file: `/dev/watchdog`, or `/dev/watchdog1` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device(Option<u8>);

impl FromStr for Device {
    type Err = ();

    fn from_str(path: &str) -> Result<Self, ()> {
        match path.strip_prefix("/dev/watchdog").ok_or(())? {
            "" => Ok(Self(None)),
            // As the kernel writes it: no sign, no leading zero.
            number => match number.parse::<u8>() {
                Ok(id) if id.to_string() == number => Ok(Self(Some(id))),
                _ => Err(()),
            },
        }
    }
}

impl Device {
    /// What the kernel tells of it without its being opened: the name of its driver, if it says one.
    ///
    /// # Errors
    /// [`WatchdogFault::Missing`] and [`WatchdogFault::NoWayOut`].
    pub fn look(self) -> Result<Option<String>, WatchdogFault> {
        if !Path::new(&self.to_string()).exists() {
            return Err(WatchdogFault::Missing(self));
        }
        // One that is named without a number is the first.
        let folder = format!("/sys/class/watchdog/watchdog{}", self.0.unwrap_or(0));
        let told = |name: &str| std::fs::read_to_string(Path::new(&folder).join(name)).ok();
        match told("nowayout").is_some_and(|told| told.trim() == "1") {
            true => Err(WatchdogFault::NoWayOut(self)),
            false => Ok(told("identity").map(|told| told.trim().to_owned())),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "/dev/watchdog{id}"),
            None => write!(f, "/dev/watchdog"),
        }
    }
}

/// Why a watchdog cannot be relied upon.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogFault {
    /// There is none.
    #[error("`{0}` is not there: load a driver, such as `modprobe softdog`")]
    Missing(Device),
    /// Somebody else holds it, and a device has one holder.
    #[error(
        "`{0}` is held by another program: a watchdog daemon, systemd (`RuntimeWatchdogSec=`), or another agent"
    )]
    Busy(Device),
    /// It cannot be opened.
    #[error("cannot open `{0}`")]
    Open(Device, #[source] io::Error),
    /// Once armed it cannot be disarmed.
    #[error(
        "`{0}` cannot be disarmed (`nowayout`): every restart of this agent would reset the host; load its driver with nowayout=0"
    )]
    NoWayOut(Device),
    /// It is disarmed by whatever closes it.
    #[error("`{0}` is disarmed when its holder is killed (no magic close): it guards nothing")]
    ClosesAlways(Device),
    /// Its time is fixed.
    #[error("`{0}` takes no timeout")]
    Fixed(Device),
    /// It does not take this time.
    #[error("`{0}` refuses a timeout of {1:?}")]
    Refuses(Device, Duration, #[source] io::Error),
    /// It makes it longer.
    #[error(
        "`{0}` makes {2} s of a timeout of {1:?}, which is longer than a lease may be relied upon"
    )]
    Rounds(Device, Duration, i32),
    /// It cannot be asked, or disarmed.
    #[error("`{0}` does not answer")]
    Silent(Device, #[source] io::Error),
    /// No whole second fits into what is left of the lease.
    #[error("{0:?} are left of the lease, and a watchdog needs {LEAST:?}")]
    Short(Duration),
}

/// A watchdog that is armed or rests.
pub(super) struct Watchdog {
    device: Device,
    /// Open as long as it is armed.
    armed: Option<Open>,
    /// It could not be disarmed: the kernel counts on.
    stuck: bool,
}

impl Watchdog {
    /// Arms it for a moment and disarms it, so that what is wrong with it is known before a lease rests on it.
    ///
    /// # Errors
    /// Any but [`WatchdogFault::Short`].
    pub(super) fn find(device: Device) -> Result<Self, WatchdogFault> {
        device.look()?;
        let mut found = Self { device, armed: None, stuck: false };
        let armed = found.open();
        let armed = armed.and_then(|()| found.set(TICKET));
        found.rest()?;
        armed.map(|()| found)
    }

    /// Sees to it that the host is reset before then, unless this is called again or it is disarmed.
    ///
    /// # Errors
    /// If that cannot be seen to: then it may be armed, and is not petted.
    pub(super) fn arm(&mut self, until: Moment) -> Result<(), WatchdogFault> {
        period(until.since(clock::now()))?;
        if self.armed.is_none() {
            self.open()?;
        }
        self.set(TICKET)?;
        self.set(period(until.since(clock::now()))?)
    }

    /// Disarms it.
    ///
    /// # Errors
    /// If it cannot be: then the host is about to be reset.
    pub(super) fn rest(&mut self) -> Result<(), WatchdogFault> {
        let Some(mut armed) = self.armed.take() else { return Ok(()) };
        let rests = armed.magic_close();
        self.stuck = rests.is_err();
        rests.map_err(|error| WatchdogFault::Silent(self.device, error))
    }

    /// How it is, for people, and what went wrong with it just now.
    pub(super) fn view(&self, trouble: Option<String>) -> WatchdogView {
        let armed = self.armed.is_some() || self.stuck;
        WatchdogView { device: self.device.to_string(), armed, trouble }
    }

    fn open(&mut self) -> Result<(), WatchdogFault> {
        let device = self.device;
        let opened = match device.0 {
            Some(id) => Open::new_by_id(id),
            None => Open::new(),
        };
        let opened = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => WatchdogFault::Missing(device),
            io::ErrorKind::ResourceBusy => WatchdogFault::Busy(device),
            _ => WatchdogFault::Open(device, error),
        })?;
        let opened = self.armed.insert(opened);
        for (option, fault) in [
            (OptionFlags::MagicClose, WatchdogFault::ClosesAlways(device)),
            (OptionFlags::SetTimeout, WatchdogFault::Fixed(device)),
        ] {
            match opened.is_option_supported(&option) {
                Ok(true) => {}
                Ok(false) => return Err(fault),
                Err(errno) => return Err(WatchdogFault::Silent(device, errno.into())),
            }
        }
        Ok(())
    }

    /// From now on the host is reset after this time; the kernel counts it from this call.
    fn set(&self, time: Duration) -> Result<(), WatchdogFault> {
        let Some(armed) = &self.armed else { return Ok(()) };
        let asked = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        match armed.set_timeout(asked) {
            Ok(got) if got <= asked => Ok(()),
            Ok(got) => Err(WatchdogFault::Rounds(self.device, time, got)),
            Err(errno) => Err(WatchdogFault::Refuses(self.device, time, errno.into())),
        }
    }
}

/// What a watchdog may be set to with so much left of a lease, in whole seconds: set up to a ticket later and begun anew up to
/// a period after that, it still ends in time.
fn period(left: Duration) -> Result<Duration, WatchdogFault> {
    match left.saturating_sub(TICKET).as_secs() / 2 {
        0 => Err(WatchdogFault::Short(left)),
        seconds => Ok(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_reset_before_its_lease_ends_though_its_guard_is_killed_at_the_worst_moment() {
        for left in (0..=61_000).map(Duration::from_millis) {
            match period(left) {
                Ok(period) => {
                    assert!(TICKET + period * 2 <= left && LEAST <= left, "{left:?}: {period:?}");
                    // No more than the last two seconds are given away by whole seconds.
                    assert!(left < TICKET + period * 2 + Duration::from_secs(2), "{left:?}");
                }
                Err(_) => assert!(left < LEAST, "{left:?}"),
            }
        }
        assert!(PET * 2 <= period(LEAST).expect("long enough"));
    }

    #[test]
    fn a_device_is_one_of_the_kernels() {
        for path in ["/dev/watchdog", "/dev/watchdog0", "/dev/watchdog12"] {
            assert_eq!(path.parse::<Device>().expect("a device").to_string(), path);
        }
        for path in
            ["", "watchdog", "/dev/watchdog-1", "/dev/watchdog01", "/dev/watchdog256", "/dev/sda"]
        {
            assert!(path.parse::<Device>().is_err(), "{path}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let device: Device = "/dev/watchdog250".parse().expect("a device");
        let Err(fault) = Watchdog::find(device) else { panic!("nobody has so many") };
        assert_eq!(
            fault.to_string(),
            "`/dev/watchdog250` is not there: load a driver, such as `modprobe softdog`"
        );
    }
}
