//! m4 at its sizes: what each holds is in its own doc comment.

use std::time::Duration;

/// How large a model is, and what may happen in it.
#[derive(Clone, Copy)]
pub struct Setup {
    /// How many voters there are.
    pub voters: usize,
    /// How many ticks pass.
    pub ticks: u8,
    /// How long a tick truly lasts: whole ticks must tell apart what a hundredth of a lease decides.
    pub tick: Duration,
    /// How often each guard may renew.
    pub renewals: &'static [u8],
    /// By how many hundredths the old guard's clock and all the others are fast.
    pub rates: &'static [(i64, i64)],
    /// May a grant be heard later than it is given?
    pub late: bool,
    /// May a process restart, once?
    pub restarts: bool,
    /// Do candidates give their word?
    pub failsafe: bool,
    /// How long a lease the old guard's second renewal asks for, where that is another length.
    pub second: Option<Duration>,
}

impl Setup {
    /// Two ticks are longer than a lease and shorter than one by a clock that is a hundredth slow.
    pub const LATE: Self = Self {
        voters: 1,
        ticks: 4,
        tick: Duration::from_millis(5_025),
        renewals: &[2, 1],
        rates: &[(-1, 1), (1, -1)],
        late: true,
        restarts: false,
        failsafe: false,
        second: None,
    };
    /// The same, and a voter may forget what it did not write down.
    pub const RESTART: Self = Self { ticks: 3, rates: &[(-1, 1)], restarts: true, ..Self::LATE };
    /// A majority is more than one, and one of them may forget what it did not write down; grants are heard as they are given: heard
    /// late, they make twice as many states, among which there is no fault either (2,116,264 without a restart).
    pub const QUORUMS: Self = Self {
        voters: 3,
        ticks: 3,
        renewals: &[1, 1],
        rates: &[(-1, 1)],
        late: false,
        restarts: true,
        ..Self::LATE
    };
    /// Three ticks to a lease, and one that is asked for while it runs is shorter than a tick.
    pub const SHORTER: Self = Self {
        tick: Duration::from_millis(3_350),
        rates: &[(-1, 1)],
        second: Some(Duration::from_secs(2)),
        ..Self::LATE
    };
    /// Twelve ticks are longer than a lease, and shorter than one by a clock that is a hundredth slow: what happens in between may
    /// happen at any twelfth of it.
    pub const FINE: Self = Self { ticks: 13, tick: Duration::from_micros(837_500), ..Self::LATE };
    /// And leases are renewed.
    pub const TWICE: Self = Self { renewals: &[2, 1], restarts: false, ..Self::QUORUMS };
    /// Three ticks to a lease: candidates are asked when half of it is gone.
    pub const FAILSAFE: Self = Self {
        voters: 1,
        ticks: 5,
        tick: Duration::from_millis(3_350),
        renewals: &[2, 0, 1],
        rates: &[(-1, 1)],
        failsafe: true,
        ..Self::LATE
    };
}
