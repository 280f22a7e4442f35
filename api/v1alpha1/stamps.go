package v1alpha1

// Annotations in which admission writes who made a change. They are overwritten on every write: what a client puts there is
// replaced or taken back. Each holds JSON with the user, the time and a seal that only the operator can make.
const (
	AnnotationRequestedBy = "privacy.lethe.dev/requested-by" // created the object
	AnnotationApprovedBy  = "privacy.lethe.dev/approved-by"  // set spec.approved
	AnnotationCancelledBy = "privacy.lethe.dev/cancelled-by" // set spec.cancelled
	AnnotationExpeditedBy = "privacy.lethe.dev/expedited-by" // set spec.timing to Immediate
	AnnotationLiftedBy    = "privacy.lethe.dev/lifted-by"    // set spec.lifted
	AnnotationPostponedBy = "privacy.lethe.dev/postponed-by" // set spec.postponed
	AnnotationForcedBy    = "privacy.lethe.dev/forced-by"    // set spec.force, or spec.subjects.force of a run
	AnnotationChangedBy   = "privacy.lethe.dev/changed-by"   // made the last change of the spec
)

// StampAnnotations are all of them.
func StampAnnotations() []string {
	return []string{AnnotationRequestedBy, AnnotationApprovedBy, AnnotationCancelledBy, AnnotationExpeditedBy, AnnotationLiftedBy, AnnotationPostponedBy,
		AnnotationForcedBy, AnnotationChangedBy}
}

// ActorUnknown is recorded where nobody can tell who made a change: admission was away, or its stamp is not genuine.
const ActorUnknown = "unknown"

// Resources without objects, on which somebody needs the verb get.
const (
	// ResourceAccessLogs is for exporting the access log, and for its entries where the ledger is followed.
	ResourceAccessLogs = "accesslogs"
	// ResourceLedgerEntries is for following a namespace's ledger.
	ResourceLedgerEntries = "ledgerentries"
	// ResourceExplanations is for asking when single records go, whose answer has keys of records.
	ResourceExplanations = "explanations"
)
