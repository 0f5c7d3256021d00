//! Where a rollout stands, and why it stays on a goal that is not proven.

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Initialised; no revision was ever attempted.
    Idle,
    /// A plan is being written, or waits until writing is allowed.
    Applying,
    /// Written completely; samples are being judged.
    Verifying,
    /// On a proven goal that the branch head agrees with.
    Steady,
    /// On last good, because the head is rejected or a person pinned the environment.
    HeldAfterRollback,
    /// On a goal that could not be proven.
    HeldUnproven,
    /// The head (or the attempt under way) was refused: by the guard, by a conflict, or because it is invalid.
    HeldRefused,
    /// A rollback was itself unhealthy: no automatic move until a person acts (rules R5, R6).
    Frozen,
}

impl Phase {
    /// The word for it in status, history and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Applying => "applying",
            Self::Verifying => "verifying",
            Self::Steady => "steady",
            Self::HeldAfterRollback => "held-after-rollback",
            Self::HeldUnproven => "held-unproven",
            Self::HeldRefused => "held-refused",
            Self::Frozen => "frozen",
        }
    }

    /// Every phase, for tables and parsers.
    pub const ALL: [Self; 8] = [
        Self::Idle,
        Self::Applying,
        Self::Verifying,
        Self::Steady,
        Self::HeldAfterRollback,
        Self::HeldUnproven,
        Self::HeldRefused,
        Self::Frozen,
    ];
}

/// Why an environment stays on a goal that is not proven (rules A9, G5, R8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// The checks could not be made, or flapped, until the deadline. Unhealthy later: rolled back.
    Unknown,
    /// The same, of a rollback. Unhealthy later: frozen.
    RollbackUnknown,
    /// Unhealthy, and there is no last good to go back to.
    NothingToGoBackTo,
    /// Unhealthy, and the policy says not to roll back.
    AutoRevertOff,
    /// A rollback left keys that somebody else holds.
    Except,
    /// The desired state is empty: never last good.
    Empty,
    /// Keys drifted while it was judged, and drift is only reported.
    Drifted,
    /// A person released it from the freeze.
    Released,
}

impl Unproven {
    /// The word for it in the stored record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::RollbackUnknown => "rollback-unknown",
            Self::NothingToGoBackTo => "nothing-to-go-back-to",
            Self::AutoRevertOff => "auto-revert-off",
            Self::Except => "except",
            Self::Empty => "empty",
            Self::Drifted => "drifted",
            Self::Released => "released",
        }
    }

    /// Every reason, for tables and parsers.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::RollbackUnknown,
        Self::NothingToGoBackTo,
        Self::AutoRevertOff,
        Self::Except,
        Self::Empty,
        Self::Drifted,
        Self::Released,
    ];
}
