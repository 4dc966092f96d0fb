//! What clients of m1 are told, held by a checker that knows no ballots: stateright's linearizability tester (Herlihy, Wing 1990).
//!
//! Who proposes appends its number and is told the whole value once it is chosen; who reads is told what it found. Of these calls
//! and answers alone the checker finds out whether one register, to which everybody appends in turn, could have given them in an
//! order that agrees with real time. A call begins as late as it can, with the first store that hears of it, and is answered as
//! early as it can: any other history asks less.

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// Calls of clients and what they were told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Clients(LinearizabilityTester<usize, Log>);

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Append this, and tell what is there then.
    Append(u8),
    /// Tell what is there.
    Read,
}

/// The register as it would be without a mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Log(Vec<u8>);

impl SequentialSpec for Log {
    type Op = Call;
    type Ret = Vec<u8>;

    fn invoke(&mut self, call: &Call) -> Vec<u8> {
        if let Call::Append(what) = call {
            self.0.push(*what);
        }
        self.0.clone()
    }
}

impl Clients {
    /// Nobody has asked for anything.
    pub fn new() -> Self {
        Self(LinearizabilityTester::new(Log::default()))
    }

    /// A client asks; each asks once.
    pub fn asks(&mut self, client: usize, call: Call) {
        self.0.on_invoke(client, call).expect("each asks once");
    }

    /// A client is told, if it has asked and was not told before.
    pub fn is_told(&mut self, client: usize, value: &[u8]) {
        let mut told = self.0.clone();
        if told.on_return(client, value.to_vec()).is_ok() {
            self.0 = told;
        }
    }

    /// Could one register have said all that?
    pub fn agree(&self) -> bool {
        self.0.is_consistent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_before_another_asked_is_known_to_it() {
        let mut clients = Clients::new();
        clients.asks(0, Call::Append(7));
        clients.asks(1, Call::Append(8));
        clients.is_told(1, &[8]);
        assert!(clients.agree(), "the other may not have been first, or at all");
        clients.asks(2, Call::Read);
        let mut stale = clients.clone();
        stale.is_told(2, &[]);
        assert!(!stale.agree(), "it asked after another was told");
        clients.is_told(2, &[8, 7]);
        assert!(clients.agree(), "an append that nobody was told of may be there");
        clients.is_told(0, &[7]);
        assert!(!clients.agree(), "it was first, and was not");
    }
}
