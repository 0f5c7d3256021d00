//! The planted bugs: at least one for each rule that timing can break. Every one must be noticed, or the invariants are too
//! weak. Those of a decision are in `planted`, those of a port in `edges`.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// L1: no check of the session.
    WritesWithoutTheLease,
    /// A2: no compare-and-set on keys.
    OverwritesHandEdits,
    /// A1: reads right after a restart show part of the keys.
    ReadsPartOfTheKeys,
    /// A4: `complete` in the first batch.
    SaysCompleteTooEarly,
    /// A5: a new attempt under the old number.
    ReusesTheGeneration,
    /// O2: writes keys that are not ours.
    TakesUnmanagedKeys,
    /// O3: the mark alone is enough for a delete.
    DeletesStrays,
    /// O8: a key that is there with another value is taken over too, and overwritten.
    AdoptsWhatDiffers,
    /// O8: what is there with its value is taken over, whoever may have said so.
    AdoptsUnasked,
    /// O8: a rollback deletes what was there before lockstep.
    DeletesWhatWasAdopted,
    /// O8: a revert does.
    DeletesAdoptedKeysInARevert,
    /// O8: another value, and the key is taken for one that lockstep made.
    ForgetsTheAdoptedBit,
    /// O8: nobody remembers what was adopted once the mark that says so is gone.
    ForgetsWhatWasAdopted,
    /// O8: what changes values besides is last good at once.
    ProvesMoreThanMarks,
    /// R1: rolls back to the commit before instead of last good.
    RollsBackToTheCommitBefore,
    /// R2: rejections live in memory only.
    ForgetsRejections,
    /// R4: drift is judged against the head.
    JudgesDriftByTheHead,
    /// R6: a freeze is like any other hold.
    ForgetsTheFreeze,
    /// R11: a suspension is forgotten.
    ForgetsTheSuspension,
    /// R11: a pin is forgotten.
    ForgetsThePin,
    /// H2: samples count at once.
    CountsSamplesTooEarly,
    /// H4: what can't be told counts as failing.
    TakesUnknownForFailure,
    /// H4: what can't be told counts as healthy.
    TakesUnknownForHealthy,
    /// H3: one pass is proof enough.
    ProvesAtTheFirstPass,
    /// S1: every fetched head is followed at once.
    BelievesEveryHead,
    /// S2: commits of the record are not kept in the mirror.
    KeepsNothing,
    /// L3: stamps of other clocks are trusted.
    TrustsEveryStamp,
    /// A6: what a restored target has forgotten is given out again.
    OverlooksARestore,
    /// A6: a record that is made anew begins with a number that was given out.
    RecoversUnderAnOldNumber,
    /// H2, R9: after a repair the checks ask for the generation of the attempt.
    ChecksTheOldGeneration,
    /// H5: what failed before counts against the commit.
    BlamesTheBaseline,
    /// L2: a request that has its answer is carried out again.
    AnswersTwice,
    /// R5: a rollback that is unhealthy is taken for an advance.
    RollsBackARollback,
    /// R9: nobody remembers what was repaired.
    RepairsWithoutBackOff,
    /// R9: a key that is repaired with patience counts as if it were as it should be.
    ProvesWhatIsFoughtOver,
    /// R10: drift is put right whatever the policy says.
    WritesDriftUnderReport,
    /// A5: the line of an attempt that ended is never closed.
    NeverClosesTheLine,
    /// A5: lines of history go by age alone.
    ForgetsLinesThatKeysName,
    /// A3: what gave no answer is taken for done.
    TakesALostAnswerForDone,
    /// A3: what gave no answer is written again, whatever is there by now.
    RepeatsAfterALostAnswer,
    /// A3: a refusal is a refusal, whether it was about a fence or about rights.
    TakesADenialForAConflict,
    /// A9: an advance leaves a key that is somebody else's and writes the others.
    BeginsDespiteAnObstacle,
    /// A9: what a rollback had to leave does not count.
    ProvesARollbackThatLeftKeys,
    /// G1: nobody looks at deletes.
    SkipsTheGuard,
    /// G1: what a person allowed once is allowed for ever.
    SpendsAnAllowanceTwice,
    /// G1, G4: what a person lets pass is whatever head is there.
    LetsAnotherHeadPass,
    /// G2: what was proven is as suspect as anything.
    RefusesARevert,
    /// H6: drift while verifying starts the deadline of health again.
    RestartsTheDeadlineAtDrift,
    /// H6: the deadline of health counts from the first write.
    CountsTheDeadlineFromTheStart,
    /// H6: a target that can't be reached turns an advance back.
    TakesUnreachableForDenied,
    /// H6: once the target said that a denied key may be written, it is tried for ever.
    BelievesAPermissionForEver,
    /// H6, A9: that one denial is over ends every denial.
    TakesAPermissionForEveryKey,
    /// R2, R11: `resume` ends rejections that its rollback did not make.
    ResumeEndsEveryRejection,
    /// H6: what stands in the way half-way is waited for without an end.
    NeverGivesUpHalfWay,
    /// R7: a newer commit takes the place of one that is nearly proven.
    SupersedesAProofUnderWay,
    /// R7: a failing attempt is taken back although a newer commit is there.
    RollsBackPastANewerCommit,
    /// R7: a newer commit takes the place of a rollback that is half written.
    SupersedesARollbackHalfWay,
    /// R7: what superseded attempts wrote is forgotten.
    ForgetsWhatItAttempted,
    /// R7: a plan that is under way is written to its end.
    WritesOnDespiteANewerCommit,
    /// R8: nothing is judged any more once it is held.
    StopsCheckingWhatIsHeld,
    /// R8: whatever is held goes back when it fails.
    TakesBackWhatIsHeldForAnother,
    /// R8: what could not be told stays, even when it turns out to fail.
    StaysOnWhatTurnsOutBad,
    /// G3: a head that can't be read interrupts what is being judged.
    InterruptsForAnInvalidHead,
    /// G3: what was refused once stays refused.
    RemembersARefusal,
    /// O9: an environment that the head does not have is kept as before.
    WritesWhatIsRetired,
    /// O9: a record is taken over under another name while somebody leads it.
    TakesOverWithoutTheLease,
    /// O9: it is taken over, and stays where it was, too.
    LeavesTheFormerRecord,
    /// O9: nobody looks for the names before the one that the branch gives.
    ForgetsTheNamesBetween,
    /// O9: under its new name it has a new owner id, and its keys have the old one.
    RenamesUnderANewOwner,
    /// O9: a key that is to go goes, whoever has written it meanwhile.
    RemovesWhatAnotherTook,
    /// O9: the record goes before the last key.
    EndsARemovalEarly,
    /// O9: the record goes, whoever leads by now.
    RemovesTheRecordUnfenced,
    /// O9: a removal goes by the branch as it was when it began.
    RemovesByAnOldHead,
    /// O9: it deletes what was there before lockstep.
    DeletesAdoptedKeysInARemoval,
    /// O8: what a removal gave back that was broken off is taken for what lockstep made.
    ForgetsWhatARemovalGaveBack,
    /// R3: a commit that changes nothing here is an attempt.
    CountsAReadme,
    /// R12: a wake brings the commit that it was about, and one after the other is worked off.
    CarriesTheHeadInAWake,
    /// R12: a delivery is one look: what could not be seen then waits for the poll.
    LooksOnceForADelivery,
    /// R12: nobody is woken by a new head.
    SleepsThroughANewHead,
    /// R3: statuses that nobody speaks of any more are left as they are.
    LeavesStatusesPending,
    /// T30: nobody looks what stands at a forge before speaking.
    SpeaksWithoutALook,
    /// T30: a status that failed is taken for written.
    TakesAnUnwrittenStatusForWritten,
    /// W2: nobody is woken by a changed key.
    SleepsThroughChangedKeys,
    /// W2: what was read once is never read again.
    LooksOnlyOnce,
    /// W1: what comes between the list of what moved and the reads counts as seen.
    DatesALookByItsEnd,
    /// W1: news end at a controller's own write, whatever came just before it.
    EndsALookAtItsOwnWrite,
    /// W2: a watch goes on with its index on a Consul that began anew.
    WatchesOnAtAnOldIndex,
    /// H1: a rollback is judged by the checks of what it leaves.
    JudgesARollbackByTheBadCommit,
    /// H1: an advance is judged by the checks of last good.
    JudgesAnAdvanceByTheChecksBefore,
    /// E1: what happens is told before it is written, and so again when the write is tried again.
    TellsBeforeItIsWritten,
    /// E2: a leader that has nothing to do sleeps until there is something.
    SleepsWithoutAHeartbeat,
}

impl Bug {
    pub(crate) const ALL: [Self; 91] = [
        Self::WritesWithoutTheLease,
        Self::OverwritesHandEdits,
        Self::ReadsPartOfTheKeys,
        Self::SaysCompleteTooEarly,
        Self::ReusesTheGeneration,
        Self::TakesUnmanagedKeys,
        Self::DeletesStrays,
        Self::AdoptsWhatDiffers,
        Self::AdoptsUnasked,
        Self::DeletesWhatWasAdopted,
        Self::DeletesAdoptedKeysInARevert,
        Self::ForgetsTheAdoptedBit,
        Self::ForgetsWhatWasAdopted,
        Self::ProvesMoreThanMarks,
        Self::RollsBackToTheCommitBefore,
        Self::ForgetsRejections,
        Self::JudgesDriftByTheHead,
        Self::ForgetsTheFreeze,
        Self::ForgetsTheSuspension,
        Self::ForgetsThePin,
        Self::CountsSamplesTooEarly,
        Self::TakesUnknownForFailure,
        Self::TakesUnknownForHealthy,
        Self::ProvesAtTheFirstPass,
        Self::BelievesEveryHead,
        Self::KeepsNothing,
        Self::TrustsEveryStamp,
        Self::OverlooksARestore,
        Self::RecoversUnderAnOldNumber,
        Self::NeverClosesTheLine,
        Self::ForgetsLinesThatKeysName,
        Self::ChecksTheOldGeneration,
        Self::BlamesTheBaseline,
        Self::AnswersTwice,
        Self::RollsBackARollback,
        Self::RepairsWithoutBackOff,
        Self::ProvesWhatIsFoughtOver,
        Self::WritesDriftUnderReport,
        Self::TakesALostAnswerForDone,
        Self::RepeatsAfterALostAnswer,
        Self::TakesADenialForAConflict,
        Self::BeginsDespiteAnObstacle,
        Self::ProvesARollbackThatLeftKeys,
        Self::SkipsTheGuard,
        Self::SpendsAnAllowanceTwice,
        Self::LetsAnotherHeadPass,
        Self::RefusesARevert,
        Self::RestartsTheDeadlineAtDrift,
        Self::CountsTheDeadlineFromTheStart,
        Self::TakesUnreachableForDenied,
        Self::BelievesAPermissionForEver,
        Self::TakesAPermissionForEveryKey,
        Self::ResumeEndsEveryRejection,
        Self::NeverGivesUpHalfWay,
        Self::SupersedesAProofUnderWay,
        Self::RollsBackPastANewerCommit,
        Self::SupersedesARollbackHalfWay,
        Self::ForgetsWhatItAttempted,
        Self::WritesOnDespiteANewerCommit,
        Self::StopsCheckingWhatIsHeld,
        Self::TakesBackWhatIsHeldForAnother,
        Self::StaysOnWhatTurnsOutBad,
        Self::InterruptsForAnInvalidHead,
        Self::RemembersARefusal,
        Self::WritesWhatIsRetired,
        Self::TakesOverWithoutTheLease,
        Self::LeavesTheFormerRecord,
        Self::ForgetsTheNamesBetween,
        Self::RenamesUnderANewOwner,
        Self::RemovesWhatAnotherTook,
        Self::EndsARemovalEarly,
        Self::RemovesTheRecordUnfenced,
        Self::RemovesByAnOldHead,
        Self::DeletesAdoptedKeysInARemoval,
        Self::ForgetsWhatARemovalGaveBack,
        Self::CountsAReadme,
        Self::CarriesTheHeadInAWake,
        Self::LooksOnceForADelivery,
        Self::SleepsThroughANewHead,
        Self::LeavesStatusesPending,
        Self::SpeaksWithoutALook,
        Self::TakesAnUnwrittenStatusForWritten,
        Self::SleepsThroughChangedKeys,
        Self::LooksOnlyOnce,
        Self::DatesALookByItsEnd,
        Self::EndsALookAtItsOwnWrite,
        Self::WatchesOnAtAnOldIndex,
        Self::JudgesARollbackByTheBadCommit,
        Self::JudgesAnAdvanceByTheChecksBefore,
        Self::TellsBeforeItIsWritten,
        Self::SleepsWithoutAHeartbeat,
    ];
}
