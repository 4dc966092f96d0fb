//! Who may write: leases, granted by voters to the guards of one stack at a time (PROTOCOL.md C.1 to C.3).
//!
//! [`Grants`] is one voter's memory, [`Holder`] one guard's. Every app has at most one stack with a lease that may still
//! run, whatever is agreed, whoever carries it out and whatever their clocks show: only that every clock's *rate* is right
//! to a hundredth. This room knows nothing of ballots, evidence or doors; `node` tells it who may write by what is agreed.

mod grants;
mod holder;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use grants::{Count, Grants, Renewal};
pub use holder::Holder;

/// How long what lasts. Every duration is on the clock of whoever counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// A guard's lease, from the moment its renewal was *sent*.
    pub lease: Duration,
    /// A voter keeps others out for this long from the moment it granted: `lease` by a clock that is a hundredth slow,
    /// measured by one that is a hundredth fast: `lease * 1.01 / 0.99`.
    pub kept: Duration,
    /// A door is shut this long before the lease ends.
    pub margin: Duration,
    /// Between two renewals.
    pub renew: Duration,
    /// Between two tries while there is no lease.
    pub retry: Duration,
}

impl Terms {
    /// PROTOCOL.md H.
    pub const DEFAULT: Self = Self {
        lease: Duration::from_secs(10),
        kept: Duration::from_millis(10_203),
        margin: Duration::from_millis(250),
        renew: Duration::from_millis(2_500),
        retry: Duration::from_millis(500),
    };

    /// Other times, as only a mutant has them.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn broken(self, mutant: Option<crate::mutant::Mutant>) -> Self {
        use crate::mutant::Mutant;
        match mutant {
            Some(Mutant::NoMargin) => Self { kept: self.lease, margin: Duration::ZERO, ..self },
            Some(Mutant::MarginShort) => {
                Self { kept: self.lease.mul_f64(1.01), margin: Duration::ZERO, ..self }
            }
            _ => self,
        }
    }
}
