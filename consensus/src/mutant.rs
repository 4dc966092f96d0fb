//! Safety rules that can be broken one at a time, in test builds only, to show that a test notices.
//!
//! Every rule that the simulator or a model holds has its line here, and `./tests/run mutants` must catch each. A rule is
//! broken where it is kept: the code asks `broken(Mutant::…)` in the very place.

macro_rules! mutants {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A safety rule that can be broken, to show that a test notices.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $($(#[$doc])+ $name,)+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
        }
    };
}

mutants! {
    // The register (PROTOCOL.md A.2, A.3).
    /// A ballot is used again after its outcome stayed unknown (rule R1).
    BallotReused,
    /// Accepting lowers the promise to nothing (rule R3).
    PromiseErased,
    /// What was accepted is forgotten before the next promise (rule R4).
    AcceptedExpires,
    /// Answers are counted, and not who gave them (trap 9).
    AnswersCounted,
    /// A process that starts anew goes on under the ballots of the one before (trap 16).
    InstanceKept,
    /// A reply leaves before what it says is durable (invariant I6).
    SentBeforeSaved,
    /// What a quorum's newest report says is taken for chosen, though it may not be (rule R7).
    ReadNewest,
    /// A write tried twice takes effect twice: its own operation is not recognised (rule R6).
    DuplicateOperation,
    /// Whoever asks again for what was agreed is told the epoch of now.
    AnsweredAsOfNow,
    /// A value is derived from what the proposer knows, not from what the promises report, and accepted (0.1 d).
    UnlinkedValue,
    /// What a voter accepted, and nobody says is chosen, is left to whoever proposed it (A.5).
    LingeringLeft,
    /// A process goes on after a failed sync as if it had worked (A.6).
    SyncFailureIgnored,

    // Who votes (A.4).
    /// The old set of voters is left before every register is carried over.
    NoSweep,
    /// Registers are carried over by a majority of the old set alone.
    SweepWithOldQuorum,
    /// An acceptor answers whatever voters the asker goes by.
    VotersUnfenced,
    /// The old set is left once the usual lease must have ended, though longer ones were granted.
    LeftBeforeLease,
    /// Whoever completes a step out of the old set goes by the clock of the one voter that accepted it.
    LeftByAnothersClock,
    /// One set of voters follows another at once.
    DirectChange,
    /// Whoever asked for a change of voters is told that it is agreed while the old set is not left yet.
    ChangeToldEarly,
    /// While two sets are in force, only the new one is counted.
    OnlyNewMajority,
    /// A store that is a copy from before goes on as if it were not.
    RollbackUnnoticed,
    /// A store that lost its disk goes on under its old id (rule R8).
    Amnesia,
    /// A store that voted once, and was let go, votes again (rule R8).
    RetiredReused,
    /// The mesh replaces a store by itself as soon as its agent presents another.
    ReplacedAtOnce,
    /// The mesh replaces one store by itself after the other.
    ReplacedTooOften,

    // Evidence and the rule (B.2 to B.5).
    /// Evidence is checked for the decision, not again before the point of no return (rule 2).
    EvidenceOnce,
    /// What only evidence allows is completed without, as if it were known to be chosen (0.1 e).
    CompletedUnseen,
    /// A majority of those who answered decides (rule 9).
    MajorityOfReporting,
    /// One region is enough.
    OneRegion,
    /// One success does not take the vote away (rule 8).
    SuccessDoesNotClear,
    /// Votes though it hears no majority of voters (S1).
    VotesWhileIsolated,
    /// Votes though its canaries do not answer (S2).
    CanariesIgnored,
    /// Canaries may be silent for longer than an app's window, and since before a target of it failed (S2).
    CanariesSlow,
    /// Votes though most of what it watches failed at once (S3).
    MassFailureVotes,
    /// What voters in doubt of themselves say counts as well (invariant S15).
    AbstainersCount,
    /// A crowd of observers that reach a stack does not stand in the way (B.5).
    ContestIgnored,
    /// A replica that still streams does not veto (B.5).
    VetoIgnored,
    /// A guard that says its database is well does not veto (B.5).
    GuardVetoIgnored,
    /// A guard's silence shuts its door, though a lease of it may still run (C.3).
    SilenceShuts,
    /// A door is taken for shut that a guard holds open by the candidates' word (C.3).
    FailsafeOverlooked,
    /// A stack is moved to whether it is fit or not (B.5).
    UnfitStandby,
    /// A stack is moved to that no more of the world reaches than the active one (B.5).
    WorseStandby,
    /// DNS moves with a primary that a minority of voters sees (rules 9 and 12).
    FollowsOneSight,
    /// Of two that claim to be the primary by the same election, one is followed (rule 12).
    RivalFollowed,
    /// A primary is asked to step down though nobody could take its place where it is to go.
    HeirUnseen,
    /// What is gossiped counts like evidence (rule 1).
    HearsayCounts,
    /// A pulse that a later one overtook shows that its sender is there.
    OvertakenHeard,
    /// Evidence given for another ballot is taken for this one (rule 1).
    EvidenceReplayed,
    /// Evidence is taken whether it is signed or not (B.4).
    EvidenceUnsigned,
    /// A letter that another passes on is taken whoever wrote it (A.5).
    LetterUnsealed,
    /// A guard's silence counts before the one that may have given its word for it has said anything (C.3).
    WordNotAwaited,
    /// Accepts though it sees the stack up itself (A.3).
    OwnViewIgnored,
    /// Accepts though its own evidence is old (A.3).
    StaleEvidenceAccepted,
    /// Votes on what it believed before it was stopped (S4).
    PauseForgotten,
    /// Votes though its clocks contradict each other (S4).
    ClockJumpIgnored,
    /// Votes though it has just started (S5).
    VotesWhileYoung,
    /// Votes though it is unwell itself (S7).
    VotesWhileUnwell,

    // Leases (C.1, C.2).
    /// Only one of two clocks is allowed to be wrong, and a door has no margin of its own.
    MarginShort,
    /// No clock is allowed to be wrong.
    NoMargin,
    /// The timer that shuts a door is the guard's own, and stands still with its process.
    TimerStopsWhilePaused,
    /// A voter that starts anew has forgotten what it granted.
    GrantForgottenAtRestart,
    /// A voter that grants a shorter lease forgets that a longer one may still run.
    LongerForgotten,
    /// A lease counts from when its grant arrives.
    LeaseFromArrival,
    /// A voter goes on granting to a stack that is being fenced, or left.
    GrantsWhileFencing,
    /// A voter accepts a promotion while a lease may still run.
    PromotesDespiteLease,
    /// A promotion that somebody takes back has its lease renewed for ever.
    NeverWithheld,
    /// A promotion is taken back while its stack may still take writes (C.2).
    GivenUpDespiteLease,
    /// The failsafe is content with most of the candidates.
    FailsafeByMajority,
    /// A guard opens though it gave another its word.
    FailsafeBarForgotten,
    /// A database is promoted that the old primary's guard need not know of.
    CandidateUnacknowledged,
    /// A guard that never held a lease proves a fence.
    NeverHeldProves,
    /// A guard says that it knows a new list of candidates while it may live on the word of the old one (0.1 g).
    AcknowledgedEarly,
    /// A voter grants to a second stack while the first one's lease may still run.
    TwoOutstanding,
    /// A grant leaves before whom it is for, and what that knows, is durable (A.6, H).
    GrantedBeforeSaved,
    /// A guard's word leaves before it is durable that it gave it (C.3).
    VouchedBeforeSaved,

    // The outside (D).
    /// Whoever can compare a token does not (rule 11).
    TokenIgnored,
    /// A database that follows nobody, beside an agreed primary, is left alone.
    AstrayLeft,
    /// Followed endpoints are accepted wherever a proposer found them.
    UnfoundAccepted,
    /// Endpoints that were agreed to be elsewhere are led back because a later claim of that was accepted by few.
    FollowedUndone,
    /// A primary that the taking back of its fence did not reach is left closed.
    ClosedLeft,
    /// What somebody wrote over by hand outside is left so.
    DriftLeft,
    /// Drivers publish an address that a definition brings before anybody has seen it up.
    NewPublished,
    /// Whoever does not get a step done keeps it for as long as it is there.
    FailingKept,
    /// Nothing is decided while records cannot be published.
    PublishingHolds,
    /// DNS is moved without comparing its marker (rule 11).
    BlindPublish,
    /// Where nothing compares tokens, a step is taken over while what was asked for before may still take effect.
    TakenOverAtOnce,
    /// Lifetimes are shortened while a stack is doubted where nothing compares tokens, too (D.3).
    BlindShortened,
    /// A planned move does not wait until answers of before have run out.
    PlannedTooEarly,
    /// A planned move promotes whoever has not applied all that was written.
    UnappliedPromoted,
    /// A replica is relied on that nobody saw its primary wait for (C.5).
    ReliedUnseen,
    /// Whom a primary waits for is set without comparing the version that it rests on.
    WaitsUnmarked,
    /// Who was last seen to be waited for is promoted without loss, whatever is agreed.
    UnreliedPromoted,
    /// A fence is taken back under its own token (rule 10).
    SameTokenAbort,
    /// An executor acts on a claim it confirmed long ago (rule E1).
    StaleClaim,
    /// A guard compares what it is asked for with nothing that it did or heard before (D.4).
    GuardForgets,
    /// A guard acts before its token is durable (D.4).
    GuardActsUnsaved,
    /// A guard that carries a step out itself acts past itself while it is busy with another (D.4).
    GuardPassedBy,

    // Damping (E).
    /// The mesh acts again before its last decision has cooled down.
    CooldownIgnored,
    /// After a restart nothing is known to have been done lately.
    CooldownForgottenAtRestart,
    /// Every decision cools down as if it were the first.
    CooldownNeverDoubles,
    /// Nobody counts how often the mesh acts within a day.
    ThirdADayUnheld,
    /// Any number of apps is moved at once.
    BudgetIgnored,
    /// A site of which some stacks are down is taken for gone.
    CutUncertified,
    /// After a restart no other app is known to have been moved lately.
    BudgetForgottenAtRestart,
    /// A stack that comes and goes is moved to as if it stood.
    FlappingIgnored,
    /// A freeze holds nobody back.
    FreezeIgnored,
    /// A decision takes the number of the one before it (invariant S4).
    EpochReused,
}
