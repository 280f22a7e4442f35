package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ExportLog is what is exported.
// +kubebuilder:validation:Enum=Deletions;Audit;Access;Exports;Certificates
type ExportLog string

// The logs.
const (
	// LogDeletions has one record for each erasure request and each run of a retention rule: status, history, what was deleted.
	LogDeletions ExportLog = "Deletions"
	// LogAudit has the changes of what governs: policies, maps, stores and holds.
	LogAudit ExportLog = "Audit"
	// LogAccess has permissions that were used or refused.
	LogAccess ExportLog = "Access"
	// LogExports has the exports themselves: made, downloaded, purged.
	LogExports ExportLog = "Exports"
	// LogCertificates has the certificates of erasure.
	LogCertificates ExportLog = "Certificates"
)

// ExportFormat is the form of the file.
// +kubebuilder:validation:Enum=CSV;JSON;PDF
type ExportFormat string

// The formats.
const (
	FormatCSV  ExportFormat = "CSV"
	FormatJSON ExportFormat = "JSON"
	FormatPDF  ExportFormat = "PDF"
)

// ExportPhase is the state of an export in the product's words.
// +kubebuilder:validation:Enum=Processing;Completed;Failed
type ExportPhase string

// The phases.
const (
	ExportProcessing ExportPhase = "Processing"
	ExportCompleted  ExportPhase = "Completed"
	ExportFailed     ExportPhase = "Failed"
)

// ExportStatusWord is a status that a filter may name.
// +kubebuilder:validation:Enum=Pending;Processed;Completed;Cancelled;Failed;Granted;Denied;Processing;Downloaded;Purged
type ExportStatusWord string

// The words. Processed means Completed.
const (
	StatusPending    ExportStatusWord = "Pending"
	StatusProcessed  ExportStatusWord = "Processed"
	StatusCompleted  ExportStatusWord = "Completed"
	StatusCancelled  ExportStatusWord = "Cancelled"
	StatusFailed     ExportStatusWord = "Failed"
	StatusGranted    ExportStatusWord = "Granted"
	StatusDenied     ExportStatusWord = "Denied"
	StatusProcessing ExportStatusWord = "Processing"
	StatusDownloaded ExportStatusWord = "Downloaded"
	StatusPurged     ExportStatusWord = "Purged"
)

// ExportPeriod is a span of time from from to, but without, to. A side that is not set is open.
// +kubebuilder:validation:XValidation:rule="!has(self.from) || !has(self.to) || self.from < self.to",message="period is reversed or empty: from must be before to"
type ExportPeriod struct {
	// from is the first moment, for example "2026-01-01T00:00:00Z". Default: the beginning of the log.
	// +optional
	From *metav1.Time `json:"from,omitempty"`

	// to is the first moment that is not in the period any more, for example "2026-04-01T00:00:00Z". Default: when the export
	// is started.
	// +optional
	To *metav1.Time `json:"to,omitempty"`
}

// ExportFilters choose records. Of a list any word may be met; a list that is not set asks nothing. Each list is for the
// logs that have what it asks for.
type ExportFilters struct {
	// statuses of records: of Deletions Pending, Completed (or Processed, which means the same), Cancelled, Failed; of Access Granted,
	// Denied; of Exports Processing, Completed, Failed, Downloaded, Purged.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10
	Statuses []ExportStatusWord `json:"statuses,omitempty"`

	// sources of Deletions, for example Subject or Retention.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	Sources []Source `json:"sources,omitempty"`

	// reasons as the log has them, for example Retained (Deletions, Certificates) or Refused (Audit).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Reasons []string `json:"reasons,omitempty"`

	// categories of data of which a deletion treated something, for example contact.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Categories []string `json:"categories,omitempty"`

	// actors as the log has them: in full, or as pseudonyms where the policy says so. Of all logs but Certificates.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Actors []string `json:"actors,omitempty"`

	// kinds of entries of Audit, for example governance.changed; with a dot at the end all that begin so, for example hold.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:Pattern=`^(governance|hold|key)\.[a-z]*$`
	// +kubebuilder:validation:items:MaxLength=64
	Kinds []string `json:"kinds,omitempty"`

	// permissions of Access, for example approve or get.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Permissions []string `json:"permissions,omitempty"`

	// logs that were exported, of Exports.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=5
	Logs []ExportLog `json:"logs,omitempty"`
}

// ExportDestination says where the file goes.
type ExportDestination struct {
	// dataStoreRef names a DataStore of kind S3 or filesystem. The file is never written over one that is there.
	// +required
	DataStoreRef LocalReference `json:"dataStoreRef,omitzero"`

	// path of a folder in the store, below which the file is put, for example "compliance/2026". Default: none.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_=-][A-Za-z0-9_=. -]*(/[A-Za-z0-9_=-][A-Za-z0-9_=. -]*)*$`
	Path string `json:"path,omitempty"`
}

// ComplianceExportSpec says what is exported. It never changes.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an export is never changed; make another one"
// +kubebuilder:validation:XValidation:rule="!has(self.filters) || !has(self.filters.statuses) || (self.log == 'Deletions' ? self.filters.statuses.all(s, s in ['Pending','Processed','Completed','Cancelled','Failed']) : self.log == 'Access' ? self.filters.statuses.all(s, s in ['Granted','Denied']) : self.log == 'Exports' && self.filters.statuses.all(s, s in ['Processing','Completed','Failed','Downloaded','Purged']))",message="filters.statuses: Deletions has Pending, Completed (Processed), Cancelled, Failed; Access has Granted, Denied; Exports has Processing, Completed, Failed, Downloaded, Purged; other logs have none"
// +kubebuilder:validation:XValidation:rule="!has(self.filters) || !has(self.filters.sources) || self.log == 'Deletions'",message="filters.sources is for the log Deletions"
// +kubebuilder:validation:XValidation:rule="!has(self.filters) || !has(self.filters.categories) || self.log == 'Deletions'",message="filters.categories is for the log Deletions"
// +kubebuilder:validation:XValidation:rule="!has(self.filters) || !has(self.filters.reasons) || self.log in ['Deletions','Audit','Certificates']",message="filters.reasons is for the logs Deletions, Audit and Certificates"
// +kubebuilder:validation:XValidation:rule="!has(self.filters) || !has(self.filters.actors) || self.log != 'Certificates'",message="filters.actors is for all logs but Certificates, whose entries have no actor"
// +kubebuilder:validation:XValidation:rule="!has(self.filters) || !has(self.filters.kinds) || self.log == 'Audit'",message="filters.kinds is for the log Audit"
// +kubebuilder:validation:XValidation:rule="!has(self.filters) || !has(self.filters.permissions) || self.log == 'Access'",message="filters.permissions is for the log Access"
// +kubebuilder:validation:XValidation:rule="!has(self.filters) || !has(self.filters.logs) || self.log == 'Exports'",message="filters.logs is for the log Exports"
type ComplianceExportSpec struct {
	// log that is exported. Access needs admission, and the verb get on accesslogs.privacy.lethe.dev.
	// +required
	Log ExportLog `json:"log,omitempty"`

	// format of the file. Default CSV. A PDF has at most 5,000 records.
	// +optional
	// +kubebuilder:default=CSV
	Format ExportFormat `json:"format,omitempty"`

	// period of the records: of Deletions the receipt of the request, of all others the time of the entry.
	// +optional
	Period ExportPeriod `json:"period,omitzero"`

	// filters choose records within the period. Default: all.
	// +optional
	Filters ExportFilters `json:"filters,omitzero"`

	// destination of the file. Default: the operator keeps it, and it is downloaded from there.
	// +optional
	Destination *ExportDestination `json:"destination,omitempty"`

	// archiveRetention is how long the file stays before it is purged, ISO 8601 in days, P30D to P180D. Default: that of the
	// namespace's RetentionPolicy, else P30D.
	// +optional
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="self.matches('^P(3[0-9]|[4-9][0-9]|1[0-7][0-9]|180)D$')",message="archiveRetention must be between P30D and P180D, in whole days"
	ArchiveRetention string `json:"archiveRetention,omitempty"`
}

// LedgerCheckpoint names a state of the namespace's ledger.
type LedgerCheckpoint struct {
	// size of the ledger in entries.
	// +optional
	Size int64 `json:"size"`

	// root of its Merkle tree, in hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Root string `json:"root,omitempty"`
}

// ComplianceExportStatus is the state of the export.
type ComplianceExportStatus struct {
	// observedGeneration is the generation that the status speaks of; -1 until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase in the words of the product: Processing, Completed or Failed.
	// +optional
	Phase ExportPhase `json:"phase,omitempty"`

	// conditions of the export. Ready is True once it is Completed, with reason Exported, and Purged once its file is gone.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// progress in percent of the ledger's entries.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Progress int32 `json:"progress"`

	// records in the file.
	// +optional
	Records int64 `json:"records"`

	// size of the file in bytes.
	// +optional
	Size int64 `json:"size"`

	// sha256 of the file, in hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256,omitempty"`

	// checkpoint of the ledger that the file shows: nothing that was recorded later is in it.
	// +optional
	Checkpoint *LedgerCheckpoint `json:"checkpoint,omitempty"`

	// requestedBy is who asked, in the form that the policy allows; unknown where admission did not see it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	RequestedBy string `json:"requestedBy,omitempty"`

	// startedAt is when the checkpoint was taken.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// completedAt is when the file was complete.
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`

	// expiresAt is when the file is purged.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// location of the file: the path at the operator's download endpoint, for example /exports/recruiting/first-quarter, or
	// the path in the DataStore.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Location string `json:"location,omitempty"`

	// proof is a file that `lethe verify export` checks the export with: the ledger's entry on it, and the proof that the
	// ledger has it.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Proof string `json:"proof,omitempty"`
}

// ComplianceExport is a log of a period as a file, made from one state of the ledger.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cexp,categories=privacy
// +kubebuilder:selectablefield:JSONPath=`.spec.log`
// +kubebuilder:printcolumn:name="Log",type=string,JSONPath=`.spec.log`
// +kubebuilder:printcolumn:name="Format",type=string,JSONPath=`.spec.format`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Progress",type=integer,JSONPath=`.status.progress`,priority=1
// +kubebuilder:printcolumn:name="Records",type=integer,JSONPath=`.status.records`
// +kubebuilder:printcolumn:name="Size",type=integer,JSONPath=`.status.size`
// +kubebuilder:printcolumn:name="Requested-By",type=string,JSONPath=`.status.requestedBy`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.expiresAt`
// +kubebuilder:printcolumn:name="SHA256",type=string,JSONPath=`.status.sha256`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ComplianceExport struct {
	metav1.TypeMeta `json:",inline"`
	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what is exported.
	// +required
	Spec ComplianceExportSpec `json:"spec,omitzero"`

	// status is the state of the export.
	// +optional
	// +kubebuilder:default={observedGeneration:-1}
	Status ComplianceExportStatus `json:"status,omitzero"`
}

// ComplianceExportList is a list of ComplianceExports.
// +kubebuilder:object:root=true
type ComplianceExportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ComplianceExport `json:"items"`
}
