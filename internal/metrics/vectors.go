package metrics

const (
	second = 1.0
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// What a request or a run went through.
var (
	RequestDuration = histogram([]float64{minute, hour, 6 * hour, day, 3 * day, 7 * day, 14 * day, 30 * day, 60 * day, 90 * day, 180 * day},
		"lethe_erasurerequest_duration_seconds", "Time from the receipt of a request to its end.", "phase", "source")
	RequestMargin = histogram([]float64{-30 * day, -7 * day, -day, 0, day, 3 * day, 7 * day, 14 * day, 21 * day, 31 * day},
		"lethe_erasurerequest_margin_seconds", "Time that was left until the statutory due date when a request completed; negative where it was late.", "source")
	RequestStartDelay = histogram([]float64{0.5, second, 2, 5, 15, minute, 5 * minute, 15 * minute, hour, 6 * hour, day},
		"lethe_erasurerequest_start_delay_seconds", "Time from the scheduled deletion of a request to its beginning.")
	RunDuration = histogram([]float64{0.1, 0.3, second, 3, 10, 30, minute, 5 * minute, 15 * minute, hour, 6 * hour, day, 3 * day},
		"lethe_deletionrun_duration_seconds", "Time from the beginning of a run to its end, retries included.", "kind", "phase")
	Treated = counter("lethe_treated_total",
		"What was treated in data stores: records, files, keys and remote resources.", "namespace", "store", "what", "action", "cause")
)

// Values of the label cause of Treated.
const (
	CauseRequest = "request"
	CauseResidue = "residue"
	CauseRule    = "rule"
)

// Maps.
var (
	MapDrift = gauge("lethe_personaldatamap_drift",
		"Tables, columns and foreign keys that are new, changed or gone since the map was written.", "namespace", "name")
	MapUnknownColumns = gauge("lethe_personaldatamap_unknown_columns",
		"Columns of mapped tables whose records stay and that the map neither names nor ignores.", "namespace", "name")
)

// The ledger.
var (
	LedgerSound = gauge("lethe_ledger_sound",
		"1 while the namespace's ledger continues its known checkpoints; 0 when it is away, shorter or another one, and nothing is deleted.", "namespace")
	LedgerWritable = gauge("lethe_ledger_writable",
		"1 if the last write to the database of ledger and state store became durable.")
	LedgerAnchored = gauge("lethe_ledger_anchored_timestamp_seconds",
		"When the newest checkpoints of all logs were last kept at a place outside the ledger; 0 if never since the start.", "place")
	LedgerAnchorErrors = counter("lethe_ledger_anchor_errors_total",
		"Attempts to keep checkpoints at a place outside the ledger that failed.", "place")
)

// The door.
var (
	AdmissionDecisions = counter("lethe_admission_decisions_total",
		"Decisions of the admission webhooks.", "kind", "verb", "decision", "reason")
	AdmissionCertificateExpiry = gauge("lethe_admission_certificate_expiry_timestamp_seconds",
		"When the certificate that the admission webhooks serve with expires.")
)

// The installation.
var (
	KillSwitch = gauge("lethe_kill_switch",
		"1 while the annotation privacy.lethe.dev/suspend of the namespace stops runs of retention rules; of the operator's namespace: everywhere.", "namespace")
	BuildInfo = gauge("lethe_build_info", "1, with the version of the operator.", "version")
)
