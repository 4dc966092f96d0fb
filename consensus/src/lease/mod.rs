//! Who may write: leases, granted by voters to the guards of one stack at a time (PROTOCOL.md C.1 to C.3).
//!
//! [`Grants`] is one voter's memory, [`Holder`] one guard's. Every app has at most one stack with a lease that may still
//! run, whatever is agreed, whoever carries it out and whatever their clocks show: only that every clock's *rate* is right
//! to a hundredth. Nobody has to agree how long a lease is: every renewal says what its guard counts from it, whoever grants
//! it keeps others out for that, and a shorter one takes nothing off a longer one that may still run. This room knows nothing
//! of ballots, evidence or doors; `node` tells it who may write by what is agreed.

mod grants;
mod holder;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::model::DataPolicy;

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
        lease: DataPolicy::LEASE,
        kept: Duration::from_millis(10_203),
        margin: Duration::from_millis(250),
        renew: Duration::from_millis(2_500),
        retry: Duration::from_millis(500),
    };

    /// The same for a lease of another length: all scales but the margin, which is what opening a door may take.
    #[must_use]
    pub fn lasting(self, lease: Duration) -> Self {
        let micros = |span: Duration| span.as_micros();
        let kept = (micros(lease) * micros(self.kept)).div_ceil(micros(self.lease).max(1));
        let kept = Duration::from_micros(u64::try_from(kept).unwrap_or(u64::MAX));
        Self { lease, kept, margin: self.margin, renew: lease / 4, retry: lease / 20 }
    }

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
