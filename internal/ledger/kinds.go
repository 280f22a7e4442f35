package ledger

import "strings"

// Kinds of entries. The words are part of the published schema: they are added to, never changed.
const (
	KindErasureReceived    = "erasure.received"    // a request was taken
	KindErasureRefused     = "erasure.refused"     // a request cannot be followed; Reason says why
	KindErasureWaiting     = "erasure.waiting"     // it waits, for example for an active process
	KindErasureApproved    = "erasure.approved"    // somebody approved it
	KindErasureConfirmed   = "erasure.confirmed"   // checks and approval passed, the grace period began
	KindErasureDeactivated = "erasure.deactivated" // the subject's records were made inactive
	KindErasureReactivated = "erasure.reactivated" // and active again
	KindErasureCancelled   = "erasure.cancelled"   // ended before processing
	KindErasureDuplicate   = "erasure.duplicate"   // another request does it
	KindErasureProcessing  = "erasure.processing"  // from here on nothing cancels it
	KindErasureNotice      = "erasure.notice"      // the subject was notified, or why not
	KindErasureExpedited   = "erasure.expedited"   // the grace period was waived
	KindErasureForced      = "erasure.forced"      // an active process does not keep it waiting
	KindErasurePlanned     = "erasure.planned"     // a plan was sealed; Attributes hold its digest
	KindErasureAmended     = "erasure.amended"     // a hold took records out of a plan under way
	KindErasureIntent      = "erasure.intent"      // a step's effect is about to happen
	KindErasureOutcome     = "erasure.outcome"     // a step's effect has happened
	KindErasureVerified    = "erasure.verified"    // the stores were asked again
	KindErasureRetained    = "erasure.retained"    // records stay on a legal basis
	KindErasureReleased    = "erasure.released"    // the basis of retained records ended, a follow-up run begins
	KindErasureCompleted   = "erasure.completed"
	KindErasureFailed      = "erasure.failed"
	KindErasureRetried     = "erasure.retried"
	KindErasureAbandoned   = "erasure.abandoned"
	KindErasureExtended    = "erasure.extended" // the statutory due date was moved
	KindErasurePurged      = "erasure.purged"   // the finished object's archive retention ended

	KindRunStarted   = "run.started"
	KindRunCompleted = "run.completed"
	KindRunFailed    = "run.failed"
	KindRunCancelled = "run.cancelled"
	KindRunRetried   = "run.retried"
	KindRunAbandoned = "run.abandoned"

	// What became of a retention rule: Attributes hold policy, its uid and generation, rule and until, up to when what falls due
	// is treated. A run's batches are intent and outcome, with counts by entity.
	KindRetentionAnnounced = "retention.announced" // Attributes hold scheduledAt; Counts what is due then
	KindRetentionConfirmed = "retention.confirmed" // somebody let the run begin, up to records
	KindRetentionPostponed = "retention.postponed" // somebody moved it to scheduledAt
	KindRetentionRefused   = "retention.refused"   // a run that was announced does not begin; Reason says why
	KindRetentionIntent    = "retention.intent"    // a batch is about to become lasting
	KindRetentionOutcome   = "retention.outcome"   // what the batches before have done
	KindRetentionVerified  = "retention.verified"  // the store was asked again
	KindRetentionPurged    = "retention.purged"    // what a run archived was removed: its archive retention had ended

	KindHoldPlaced  = "hold.placed"
	KindHoldChanged = "hold.changed"
	KindHoldLifted  = "hold.lifted"

	KindCertificateIssued = "certificate.issued" // Attributes hold the digest of what a request's certificate says

	KindKeyDestroyed = "key.destroyed"
	// KindKeyRotated is the first entry whose checkpoint another key signs: Attributes hold that key, and the statement of both
	// that it follows the one before.
	KindKeyRotated = "key.rotated"

	// KindGovernanceChanged is what a controller saw of a RetentionPolicy, PersonalDataMap, DataStore or LegalHold: Attributes
	// hold kind, uid, generation, the name (but of a hold) and the fields that changed, never their values. Its key is
	// governance/<uid>/<generation>.
	KindGovernanceChanged = "governance.changed"
	// KindGovernanceAttempted is a write of one of these that admission saw; Reason is Admitted or Refused. What was admitted
	// may still have been refused later, by another webhook or by a conflict.
	KindGovernanceAttempted = "governance.attempted"
	// KindAccessDecided is a permission that somebody used or was refused: Attributes hold the permission, the resource and
	// the uid of the object, and the groups of the actor; Reason is Granted or Denied.
	KindAccessDecided = "access.decided"
	// KindAccessObserved is an access through the API server that its audit log tells of: Attributes hold the permission (the
	// verb), the resource, the endpoint, when it was asked for, the code of the answer and, where known, the uid of the object;
	// Reason is Granted or Denied.
	KindAccessObserved = "access.observed"

	// What became of a ComplianceExport: Attributes hold export, its uid, the log and the format. Who asked for it is the actor
	// of its start, completion and failure, who downloaded it that of the download.
	KindExportStarted    = "export.started"    // Attributes hold the checkpoint that it is made at
	KindExportCompleted  = "export.completed"  // Attributes hold records, size, sha256 and checkpoint of the file
	KindExportFailed     = "export.failed"     // it will not be made; Reason says why
	KindExportDownloaded = "export.downloaded" // somebody was given the file
	KindExportPurged     = "export.purged"     // the file was removed: its archive retention had ended, or it was deleted
)

// Names of the actor beside Actor. Like it they may hold an address, by policy.
const (
	// AttributeGroups has the groups of the actor, separated by commas.
	AttributeGroups = "groups"
	// AttributeImpersonator is who acted under the actor's name.
	AttributeImpersonator = "impersonatedBy"
)

var actorAttributes = []string{AttributeGroups, AttributeImpersonator}

// Kinds are all of them.
func Kinds() []string {
	return []string{
		KindErasureReceived, KindErasureRefused, KindErasureWaiting, KindErasureApproved, KindErasureConfirmed,
		KindErasureDeactivated, KindErasureReactivated, KindErasureCancelled, KindErasureDuplicate, KindErasureProcessing,
		KindErasureNotice, KindErasureExpedited, KindErasureForced, KindErasurePlanned, KindErasureAmended, KindErasureIntent,
		KindErasureOutcome, KindErasureVerified, KindErasureRetained, KindErasureReleased, KindErasureCompleted,
		KindErasureFailed, KindErasureRetried, KindErasureAbandoned, KindErasureExtended, KindErasurePurged,
		KindRunStarted, KindRunCompleted, KindRunFailed, KindRunCancelled, KindRunRetried, KindRunAbandoned,
		KindRetentionAnnounced, KindRetentionConfirmed, KindRetentionPostponed, KindRetentionRefused, KindRetentionIntent, KindRetentionOutcome,
		KindRetentionVerified, KindRetentionPurged, KindHoldPlaced,
		KindHoldChanged, KindHoldLifted, KindCertificateIssued, KindKeyDestroyed, KindKeyRotated, KindGovernanceChanged,
		KindGovernanceAttempted, KindAccessDecided, KindAccessObserved,
		KindExportStarted, KindExportCompleted, KindExportFailed, KindExportDownloaded, KindExportPurged,
	}
}

// Attributes of what a request is, in the entries of its life.
const (
	AttributeDueAt       = "dueAt"       // until when the law wants it done
	AttributeScheduledAt = "scheduledAt" // when the deletion begins
	AttributeTiming      = "timing"      // as it was asked for
	AttributeUID         = "uid"         // of the object
)

// Reasons of entries that admission writes.
const (
	ReasonAdmitted = "Admitted"
	ReasonRefused  = "Refused"
	ReasonGranted  = "Granted"
	ReasonDenied   = "Denied"
)

// KeyDeleted is the key of the entry by which admission records who was granted the deletion of an object: the object
// itself cannot say it.
func KeyDeleted(uid string) string { return "access/deleted/" + uid }

// FieldList is a list of paths as an attribute holds it; a long one is cut.
func FieldList(fields []string) string { return list(fields) }

// GroupList is a list of groups as an attribute holds it; a long one is cut.
func GroupList(groups []string) string { return list(groups) }

func list(words []string) string {
	const most = 900
	text := strings.Join(words, ",")
	if len(text) <= most {
		return text
	}
	return text[:strings.LastIndexByte(text[:most], ',')+1] + "..."
}
