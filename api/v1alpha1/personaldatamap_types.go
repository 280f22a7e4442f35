package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// EntityAction is what an erasure does to an entity's records.
// +kubebuilder:validation:Enum=Delete;Anonymize;Mark;Keep
type EntityAction string

const (
	// ActionDelete removes the records.
	ActionDelete EntityAction = "Delete"
	// ActionAnonymize overwrites the fields that hold personal data and keeps the records.
	ActionAnonymize EntityAction = "Anonymize"
	// ActionMark sets mark columns and changes nothing else.
	ActionMark EntityAction = "Mark"
	// ActionKeep leaves the records untouched on a legal basis.
	ActionKeep EntityAction = "Keep"
)

// RowsExpected says how many records of a root entity one subject has.
// +kubebuilder:validation:Enum=One;Many
type RowsExpected string

const (
	// RowsOne means that more than one record makes the subject ambiguous.
	RowsOne RowsExpected = "One"
	// RowsMany means that a subject may have any number of records.
	RowsMany RowsExpected = "Many"
)

// Normalization makes a stored value and an identity comparable.
// +kubebuilder:validation:Enum=None;LowerCase;TrimLowerCase
type Normalization string

const (
	// NormalizeNone compares as stored.
	NormalizeNone Normalization = "None"
	// NormalizeLowerCase compares in lower case.
	NormalizeLowerCase Normalization = "LowerCase"
	// NormalizeTrimLowerCase compares in lower case without white space at the ends.
	NormalizeTrimLowerCase Normalization = "TrimLowerCase"
)

// IdentityComparison says how a column holds an identity.
// +kubebuilder:validation:Enum=Equals;Contains;Element
type IdentityComparison string

const (
	// CompareEquals means that the column's whole value is the identity.
	CompareEquals IdentityComparison = "Equals"
	// CompareContains means that the column is a text that names the identity among others, such as a list of recipients.
	CompareContains IdentityComparison = "Contains"
	// CompareElement means that the column is an array, and that one of its elements is the identity.
	CompareElement IdentityComparison = "Element"
)

// IdentityMatch finds records of the subject by one column.
type IdentityMatch struct {
	// column that holds the identity.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Column string `json:"column,omitempty"`

	// identity to compare with: id is spec.subject.id of the request, any other name is a key of the request's identities
	// Secret (for example email).
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_.-]{0,62}$`
	Identity string `json:"identity,omitempty"`

	// normalize both sides before comparing. Default None.
	// +optional
	// +kubebuilder:default=None
	Normalize Normalization `json:"normalize,omitempty"`

	// comparison with the identity: Equals, Element for an array of which an element is the identity, or Contains for a text that names the identity among others, such as a list of recipients. Contains
	// finds the identity as a whole word between white space and the characters , ; < > ( ) [ ] { } " | \ or the ends of the
	// text, never inside another address; . : ! ? ' may stand around it. An identity of several words is found as it is written.
	// Default Equals.
	// +optional
	// +kubebuilder:default=Equals
	Comparison IdentityComparison `json:"comparison,omitempty"`
}

// ParentRelation says what a link to a parent that goes means for the child.
// +kubebuilder:validation:Enum=Deep;Shallow;RefCount
type ParentRelation string

const (
	// RelationDeep means that the child is data of the subject too.
	RelationDeep ParentRelation = "Deep"
	// RelationShallow means that only the link goes: its columns are set to NULL, or the element is taken out of the array, and
	// the child stays.
	RelationShallow ParentRelation = "Shallow"
	// RelationRefCount means that this record is shared: the parent's records refer to it, and it goes with the last of them.
	// It stays while a record of the parent's table that does not go refers to it, also one that the parent's conditions leave
	// out, such as another tenant's: only the conditions of the reference say which count.
	RelationRefCount ParentRelation = "RefCount"
)

// ReferenceComparison says how a column refers.
// +kubebuilder:validation:Enum=Equals;Element
type ReferenceComparison string

const (
	// ReferenceEquals means that the column's whole value refers.
	ReferenceEquals ReferenceComparison = "Equals"
	// ReferenceElement means that the column is an array, each element of which refers.
	ReferenceElement ReferenceComparison = "Element"
)

// ColumnPair links a column of the child to a column of the parent.
type ColumnPair struct {
	// column of this entity.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Column string `json:"column,omitempty"`

	// parentColumn is the column of the parent entity that it refers to.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	ParentColumn string `json:"parentColumn,omitempty"`

	// comparison of the two: Equals, or Element where the column that refers is an array, each element of which refers: column,
	// or of the relation RefCount parentColumn. A reference by elements has one pair. Default Equals.
	// +optional
	// +kubebuilder:default=Equals
	Comparison ReferenceComparison `json:"comparison,omitempty"`
}

// Parent is a reference from this entity to another one.
type Parent struct {
	// entity that is referred to: a name of this map, or map/entity of another map in the namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Entity string `json:"entity,omitempty"`

	// columns of the reference; several make a composite reference.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Columns []ColumnPair `json:"columns,omitempty"`

	// conditions under which the columns refer, for polymorphic references such as item_type = 100. They are on the records
	// that refer: this entity's, or for the relation RefCount the parent's.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Conditions []Condition `json:"conditions,omitempty"`

	// relation to the parent: Deep, Shallow or RefCount. There is no default.
	// +required
	Relation ParentRelation `json:"relation,omitempty"`
}

// AnonymizeStrategy overwrites one column.
// +kubebuilder:validation:Enum="Null";Constant;Pseudonym;Hash;Random;TruncateDate;Redact;Remove;Fingerprint
type AnonymizeStrategy string

const (
	// StrategyNull writes NULL.
	StrategyNull AnonymizeStrategy = "Null"
	// StrategyConstant writes the given value.
	StrategyConstant AnonymizeStrategy = "Constant"
	// StrategyPseudonym writes a keyed pseudonym of the value: the same value of one subject gets the same pseudonym
	// within one erasure; the key is destroyed with the run.
	StrategyPseudonym AnonymizeStrategy = "Pseudonym"
	// StrategyHash writes a keyed hash of the value under the namespace's key: the same value gets the same hash in every
	// erasure of the namespace until that key is destroyed.
	StrategyHash AnonymizeStrategy = "Hash"
	// StrategyRandom writes a random value.
	StrategyRandom AnonymizeStrategy = "Random"
	// StrategyTruncateDate keeps year, month or day of a date or time.
	StrategyTruncateDate AnonymizeStrategy = "TruncateDate"
	// StrategyRedact replaces the subject's identities in a text by the given value and leaves the rest of the text.
	StrategyRedact AnonymizeStrategy = "Redact"
	// StrategyRemove takes a member out of a JSON document, or without a path the subject's identities out of an array.
	StrategyRemove AnonymizeStrategy = "Remove"
	// StrategyFingerprint writes a keyed one-way hash of other columns, by which the same values are recognised later.
	StrategyFingerprint AnonymizeStrategy = "Fingerprint"
)

// DateUnit of a truncated date.
// +kubebuilder:validation:Enum=Year;Month;Day
type DateUnit string

const (
	// UnitYear keeps the year.
	UnitYear DateUnit = "Year"
	// UnitMonth keeps year and month.
	UnitMonth DateUnit = "Month"
	// UnitDay keeps the date.
	UnitDay DateUnit = "Day"
)

// Fingerprint says what a fingerprint is made of.
type Fingerprint struct {
	// columns of this entity, or of its Deep parent if parent is given, whose values make the fingerprint, in this order.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	Columns []string `json:"columns,omitempty"`

	// parent whose columns they are: the name of a Deep parent of this entity. Default: this entity.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Parent string `json:"parent,omitempty"`

	// per is the columns of this entity within whose values a fingerprint is compared, for example the vacancy: the same person
	// has another fingerprint for another vacancy, so that nobody is followed through them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	Per []string `json:"per,omitempty"`
}

// FieldChange is the new value of one column, or of one member of a JSON column.
// +kubebuilder:validation:XValidation:rule="has(self.value) == (self.strategy in ['Constant','Redact'])",message="value belongs to the strategies Constant and Redact, and both need it"
// +kubebuilder:validation:XValidation:rule="has(self.fingerprint) == (self.strategy == 'Fingerprint')",message="fingerprint belongs to the strategy Fingerprint, and Fingerprint needs it"
// +kubebuilder:validation:XValidation:rule="has(self.unit) == (self.strategy == 'TruncateDate')",message="unit belongs to the strategy TruncateDate, and TruncateDate needs it"
type FieldChange struct {
	// column to overwrite.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Column string `json:"column,omitempty"`

	// path of the member of a JSON column that is changed, for example $.contact.email: names of object members after a
	// dollar sign, those with other characters than letters, digits and underscores as ["name"]. A document without the
	// member stays as it is. Default: the whole column.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=512
	Path string `json:"path,omitempty"`

	// strategy that makes the new value.
	// +required
	Strategy AnonymizeStrategy `json:"strategy,omitempty"`

	// fingerprint of the strategy Fingerprint.
	// +optional
	Fingerprint *Fingerprint `json:"fingerprint,omitempty"`

	// value of the strategies Constant and Redact.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Value *string `json:"value,omitempty"`

	// unit that the strategy TruncateDate keeps.
	// +optional
	Unit DateUnit `json:"unit,omitempty"`
}

// ColumnValue is a constant for one column.
type ColumnValue struct {
	// column to set.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Column string `json:"column,omitempty"`

	// value to set, as text in the notation of the column's type; absent means NULL.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Value *string `json:"value,omitempty"`
}

// FileKind is a single file, a whole folder, or all objects with a prefix.
// +kubebuilder:validation:Enum=File;Directory;Prefix
type FileKind string

const (
	// FileKindFile is one file.
	FileKindFile FileKind = "File"
	// FileKindDirectory is a folder with all that is in it.
	FileKindDirectory FileKind = "Directory"
	// FileKindPrefix is all objects whose keys begin with the path; of object stores alone.
	FileKindPrefix FileKind = "Prefix"
)

// FileReference names files in another store by columns of this entity. The files go with the record; of a record that
// is retained they stay.
type FileReference struct {
	// store of the files, the name of a DataStore of kind filesystem or s3.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Store string `json:"store,omitempty"`

	// path of the file relative to the store's folder or prefix, with columns of this entity in braces, for example
	// {tenant}/{applicant_id}/{file_name}. A record in which one of the columns is NULL or empty names no file.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`

	// kind of the path: a File, a Directory with all that is in it, or a Prefix of objects. Default File.
	// +optional
	// +kubebuilder:default=File
	Kind FileKind `json:"kind,omitempty"`

	// category of the files. Default: the entity's category.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Category string `json:"category,omitempty"`
}

// KeyKind is what a key reference names in a key-value store.
// +kubebuilder:validation:Enum=Key;HashField;SetMember;SortedSetMember
type KeyKind string

const (
	// KeyKindKey is a key with its value, or all keys that match a pattern.
	KeyKindKey KeyKind = "Key"
	// KeyKindHashField is a field of a hash.
	KeyKindHashField KeyKind = "HashField"
	// KeyKindSetMember is a member of a set.
	KeyKindSetMember KeyKind = "SetMember"
	// KeyKindSortedSetMember is a member of a sorted set.
	KeyKindSortedSetMember KeyKind = "SortedSetMember"
)

// KeyReference names keys in a key-value store by columns of this entity. They go with the record; of a record that is
// retained they stay.
// +kubebuilder:validation:XValidation:rule="has(self.member) == (has(self.kind) && self.kind != 'Key')",message="member belongs to the kinds HashField, SetMember and SortedSetMember, and they need it"
type KeyReference struct {
	// store of the keys, the name of a DataStore of kind redis.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Store string `json:"store,omitempty"`

	// key with columns of this entity in braces, for example session:{tenant}:{id}. Of the kind Key it is a pattern in the
	// notation of Redis, session:{id}:* for example; what comes from columns is never a wildcard. A record in which one of
	// the columns is NULL or empty names no key.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Key string `json:"key,omitempty"`

	// kind of the reference: Key, HashField, SetMember or SortedSetMember. Default Key.
	// +optional
	// +kubebuilder:default=Key
	Kind KeyKind `json:"kind,omitempty"`

	// member is the field of the hash or the member of the set, with columns of this entity in braces.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Member string `json:"member,omitempty"`

	// category of the keys. Default: the entity's category.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Category string `json:"category,omitempty"`
}

// ResourceDeactivation says whether records of a service are taken out of use before they are erased.
// +kubebuilder:validation:Enum=Never;DuringGrace
type ResourceDeactivation string

const (
	// DeactivateNever leaves them in use until they are erased.
	DeactivateNever ResourceDeactivation = "Never"
	// DeactivateDuringGrace takes them out of use when the grace period begins, and back if the request is cancelled.
	DeactivateDuringGrace ResourceDeactivation = "DuringGrace"
)

// ResourceReference names records of a service by columns of this entity. They go with the record; of a record that is
// retained they stay.
type ResourceReference struct {
	// store of the records, the name of a DataStore of kind http.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Store string `json:"store,omitempty"`

	// resource is the kind of record as the service calls it, for example contact.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Resource string `json:"resource,omitempty"`

	// id of the record, with columns of this entity in braces, for example {crm_id}. A record in which one of the columns is
	// NULL or empty names none.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	ID string `json:"id,omitempty"`

	// deactivate the records: Never, or DuringGrace, from the beginning of the grace period until the request is cancelled or
	// they are erased. Default Never.
	// +optional
	// +kubebuilder:default=Never
	Deactivate ResourceDeactivation `json:"deactivate,omitempty"`

	// category of the records. Default: the entity's category.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Category string `json:"category,omitempty"`
}

// StatutoryHold keeps records that a law demands to be kept, until the period has passed.
type StatutoryHold struct {
	// name of the hold within the entity.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// legalBasis that demands it, for example "AO section 147: tax documents, 10 years".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	LegalBasis string `json:"legalBasis,omitempty"`

	// conditions under which a record is held. All must hold; none means every record.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Conditions []Condition `json:"conditions,omitempty"`

	// clock is the column from which the period counts. A record whose clock is empty or unreadable is kept without an end.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Clock string `json:"clock,omitempty"`

	// period as ISO 8601, counted on the calendar in UTC, for example P10Y.
	// +required
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?$') && self != 'P'",message="period must be ISO 8601 in years, months, weeks and days, for example P10Y or P6M"
	Period string `json:"period,omitempty"`
}

// Clock is a point in time of a record from which retention periods count. It is a column, or the clock of a parent or of the
// children.
// +kubebuilder:validation:ExactlyOneOf=column;parent;children
// +kubebuilder:validation:XValidation:rule="has(self.column) != has(self.clock)",message="clock names a clock of the entity in parent or children, and both need it"
type Clock struct {
	// name of the clock within the entity; the recruiting vocabulary is registration, processEnd, consentSent, lastActivity,
	// closed, archived.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9-]{0,62}$`
	Name string `json:"name,omitempty"`

	// column of this entity that holds the time. A date is its midnight in UTC.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Column string `json:"column,omitempty"`

	// parent of this entity whose clock it is: an entity in parents.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Parent string `json:"parent,omitempty"`

	// children of this entity whose latest clock it is: an entity that has this one in its parents. A record with a child whose
	// clock is empty, because its process still runs for example, or without any child has no clock and stays.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Children string `json:"children,omitempty"`

	// clock of the entity in parent or children.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Clock string `json:"clock,omitempty"`

	// minPeriod that a rule may count from this clock, ISO 8601. Default: no bound.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?$') && self != 'P'",message="minPeriod must be ISO 8601 in years, months, weeks and days, for example P3M"
	MinPeriod string `json:"minPeriod,omitempty"`

	// maxPeriod that a rule may count from this clock, ISO 8601. Default: no bound.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?$') && self != 'P'",message="maxPeriod must be ISO 8601 in years, months, weeks and days, for example P3Y"
	MaxPeriod string `json:"maxPeriod,omitempty"`
}

// Consent says how a record tells whether its person consents. What it tells starts erasures by itself where the
// RetentionPolicy of the namespace has consent.
type Consent struct {
	// sentAt is the column with the time at which the person was asked. Without it no consent expires.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	SentAt string `json:"sentAt,omitempty"`

	// pending are the conditions under which the person has not answered yet. All must hold. Without any no consent expires.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Pending []Condition `json:"pending,omitempty"`

	// withdrawn are the conditions under which the person has withdrawn the consent. Without any nobody has.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Withdrawn []Condition `json:"withdrawn,omitempty"`

	// declined are the conditions under which the person has declined. Without any nobody has.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Declined []Condition `json:"declined,omitempty"`

	// onExpiry sets columns of a record whose consent has expired, its status for example, when the erasure begins.
	// +optional
	// +listType=map
	// +listMapKey=column
	// +kubebuilder:validation:MaxItems=8
	OnExpiry []ColumnValue `json:"onExpiry,omitempty"`

	// subject is the column with the application's opaque id of the person, spec.subject.id of the erasure request that is made.
	// It must lead to the root entity's identity id.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Subject string `json:"subject,omitempty"`
}

// Pinned says what happens to a record that should be deleted but that a retained record refers to.
type Pinned struct {
	// fields to overwrite, so that only what the retained record needs stays.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Fields []FieldChange `json:"fields,omitempty"`
}

// EntityOrder is the place of an entity in the sequence.
// +kubebuilder:validation:Enum=Main;Final
type EntityOrder string

const (
	// OrderMain entities are treated together in one transaction of their store.
	OrderMain EntityOrder = "Main"
	// OrderFinal entities are treated when everything else is gone, files too; only Anonymize and Mark.
	OrderFinal EntityOrder = "Final"
)

// NonTransactionalPolicy says what to do with a table whose engine has no transactions.
// +kubebuilder:validation:Enum=Refuse;Accept
type NonTransactionalPolicy string

const (
	// NonTransactionalRefuse keeps the map from being Ready.
	NonTransactionalRefuse NonTransactionalPolicy = "Refuse"
	// NonTransactionalAccept goes on.
	NonTransactionalAccept NonTransactionalPolicy = "Accept"
)

// DriftPolicy says what a schema does to a map when it is no longer the one that the map was checked against.
// +kubebuilder:validation:Enum=Block;Warn
type DriftPolicy string

const (
	// DriftBlock takes the map's readiness away until the map is changed: requests wait.
	DriftBlock DriftPolicy = "Block"
	// DriftWarn reports the change and goes on.
	DriftWarn DriftPolicy = "Warn"
)

// UnavailablePolicy says what an erasure does while one of its stores is away.
// +kubebuilder:validation:Enum=Wait;Proceed
type UnavailablePolicy string

const (
	// UnavailableWait keeps the order of the steps: what comes after the store waits for it.
	UnavailableWait UnavailablePolicy = "Wait"
	// UnavailableProceed goes on with the other stores and comes back.
	UnavailableProceed UnavailablePolicy = "Proceed"
)

// Entity is one table with personal data.
// +kubebuilder:validation:XValidation:rule="has(self.identifiedBy) && size(self.identifiedBy) > 0 || has(self.parents) && self.parents.exists(p, p.relation != 'Shallow') || has(self.parents) && self.action == 'Keep'",message="an entity needs identifiedBy or a Deep or RefCount parent, else nothing tells which records are the subject's"
// +kubebuilder:validation:XValidation:rule="self.action != 'Keep' || has(self.legalBasis) && size(self.legalBasis) > 0",message="action Keep needs a legalBasis"
// +kubebuilder:validation:XValidation:rule="self.action in ['Anonymize','Mark'] ? has(self.fields) && size(self.fields) > 0 : !has(self.fields) || size(self.fields) == 0",message="fields belong to the actions Anonymize and Mark, and both need them"
// +kubebuilder:validation:XValidation:rule="!has(self.root) || has(self.identifiedBy) && size(self.identifiedBy) > 0",message="a root entity needs identifiedBy"
// +kubebuilder:validation:XValidation:rule="self.order != 'Final' || self.action in ['Anonymize','Mark']",message="order Final is for the actions Anonymize and Mark"
// +kubebuilder:validation:XValidation:rule="!has(self.pinned) || self.action == 'Delete'",message="pinned belongs to the action Delete"
type Entity struct {
	// name of the entity within the map.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// store that holds it, the name of a DataStore with tables.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Store string `json:"store,omitempty"`

	// schema of the table. Default: the store's schema.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Schema string `json:"schema,omitempty"`

	// table that holds the records.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Table string `json:"table,omitempty"`

	// key columns that name one record; together unique and never NULL.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	Key []string `json:"key,omitempty"`

	// category of the data: free text; the recruiting vocabulary is contact, communication, documents, notes, recordings,
	// transcripts, profile, resume, scores, consent.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Category string `json:"category,omitempty"`

	// action on the subject's records: Delete, Anonymize, Mark or Keep. There is no default.
	// +required
	Action EntityAction `json:"action,omitempty"`

	// legalBasis of the action Keep.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LegalBasis string `json:"legalBasis,omitempty"`

	// root marks an entity whose records are the subject itself.
	// +optional
	Root *Root `json:"root,omitempty"`

	// identifiedBy finds the subject's records by identities; any of them is enough.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	IdentifiedBy []IdentityMatch `json:"identifiedBy,omitempty"`

	// parents that this entity refers to; a record of any Deep parent that is the subject's makes this record the subject's.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Parents []Parent `json:"parents,omitempty"`

	// conditions that every record must meet to be looked at, for example the tenant column.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Conditions []Condition `json:"conditions,omitempty"`

	// fields to overwrite for the actions Anonymize and Mark.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Fields []FieldChange `json:"fields,omitempty"`

	// files that the records name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Files []FileReference `json:"files,omitempty"`

	// keys in key-value stores that the records name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Keys []KeyReference `json:"keys,omitempty"`

	// resources of services that the records name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Resources []ResourceReference `json:"resources,omitempty"`

	// nonTransactional says what to do where the table's engine has no transactions (MyISAM for example), so that a run that
	// is interrupted leaves the table half done until it goes on: Refuse or Accept. Default Refuse.
	// +optional
	// +kubebuilder:default=Refuse
	NonTransactional NonTransactionalPolicy `json:"nonTransactional,omitempty"`

	// activeWhen tells that a process of the subject is still running: a record of the subject that meets all of these
	// conditions. An erasure waits until there is none.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	ActiveWhen []Condition `json:"activeWhen,omitempty"`

	// holds that statutes impose on some of the records.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Holds []StatutoryHold `json:"holds,omitempty"`

	// clocks from which retention periods count.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Clocks []Clock `json:"clocks,omitempty"`

	// consent that the records tell of.
	// +optional
	Consent *Consent `json:"consent,omitempty"`

	// pinned says what happens to a record that a retained record refers to. Default: it is kept as it is, on the basis of
	// the record that needs it.
	// +optional
	Pinned *Pinned `json:"pinned,omitempty"`

	// deactivate sets columns when the grace period begins, and restores their earlier values if the request is cancelled.
	// +optional
	// +listType=map
	// +listMapKey=column
	// +kubebuilder:validation:MaxItems=16
	Deactivate []ColumnValue `json:"deactivate,omitempty"`

	// order in the sequence: Main, or Final for what is treated when everything else is gone, such as the consent record.
	// +optional
	// +kubebuilder:default=Main
	Order EntityOrder `json:"order,omitempty"`
}

// Root marks the entity that is the subject.
type Root struct {
	// rows that one subject has: One or Many. There is no default.
	// +required
	Rows RowsExpected `json:"rows,omitempty"`
}

// IgnoredTable is a table or some of its columns that hold no personal data, or none that an erasure should touch.
type IgnoredTable struct {
	// store of the table.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Store string `json:"store,omitempty"`

	// schema of the table. Default: the store's schema.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Schema string `json:"schema,omitempty"`

	// table that is left out.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Table string `json:"table,omitempty"`

	// columns of a mapped table that are left out. Default: the whole table.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=200
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	Columns []string `json:"columns,omitempty"`

	// reason why it is left out.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
}

// Scope is a named part of the map that a request may choose.
type Scope struct {
	// name of the scope, for example talent-pool.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// entities of the scope.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=200
	// +kubebuilder:validation:items:MaxLength=63
	Entities []string `json:"entities,omitempty"`
}

// PersonalDataMapSpec says where the data of a subject is and what an erasure does to it.
type PersonalDataMapSpec struct {
	// entities with personal data.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=200
	Entities []Entity `json:"entities,omitempty"`

	// scopes that a request may choose instead of everything.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Scopes []Scope `json:"scopes,omitempty"`

	// ignored tables, each with its reason.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=500
	Ignored []IgnoredTable `json:"ignored,omitempty"`

	// driftPolicy says what a table, a column or a foreign key that is new in the schemas since the map was written does to the
	// map: Block takes its readiness away until the map maps or ignores it, Warn reports it. What an erasure cannot work
	// with always blocks. Default Block.
	// +optional
	// +kubebuilder:default=Block
	DriftPolicy DriftPolicy `json:"driftPolicy,omitempty"`

	// whenStoreUnavailable says what an erasure that has begun does when one of its stores goes away: Wait keeps the order of
	// the steps, Proceed goes on with the other stores and comes back to it. Where several maps apply, all must say Proceed.
	// Before it begins, every store has to answer. Default Wait.
	// +optional
	// +kubebuilder:default=Wait
	WhenStoreUnavailable UnavailablePolicy `json:"whenStoreUnavailable,omitempty"`
}

// MapProblem is one reason why a map is not Ready.
type MapProblem struct {
	// reason in CamelCase, for example SchemaMismatch.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// entity that it concerns.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Entity string `json:"entity,omitempty"`

	// column that it concerns.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Column string `json:"column,omitempty"`

	// message that says what is wrong and what to do.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ColumnCoverage counts the columns of the mapped tables.
type ColumnCoverage struct {
	// mapped columns: those that the map names, and all of records that are deleted or kept.
	// +required
	Mapped int32 `json:"mapped"`

	// ignored columns.
	// +required
	Ignored int32 `json:"ignored"`

	// unknown columns: of records that stay, neither named nor ignored.
	// +required
	Unknown int32 `json:"unknown"`
}

// MapCoverage counts the tables of the schemas that the map names.
type MapCoverage struct {
	// mapped tables.
	// +required
	Mapped int32 `json:"mapped"`

	// ignored tables.
	// +required
	Ignored int32 `json:"ignored"`

	// unknown tables: neither mapped nor ignored.
	// +required
	Unknown int32 `json:"unknown"`

	// columns of the mapped tables.
	// +required
	Columns ColumnCoverage `json:"columns"`

	// likely lists unknown tables and columns that look like personal data by their names, types or foreign keys, as
	// store/schema.table.column, at most 50.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=512
	Likely []string `json:"likely,omitempty"`

	// likelyCount is the number of those, listed or not.
	// +optional
	LikelyCount int32 `json:"likelyCount,omitempty"`
}

// PersonalDataMapStatus is what Lethe found when it held the map against the live schemas.
type PersonalDataMapStatus struct {
	// observedGeneration is the generation that the status speaks of; -1 until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions in the manner of kstatus, of the types Ready, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// schemaDigest of the tables that the map names, SHA-256 in hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SchemaDigest string `json:"schemaDigest,omitempty"`

	// drift lists what is new in the schemas, or gone, since the map was written, at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=512
	Drift []string `json:"drift,omitempty"`

	// warnings about what works but badly, at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Warnings []MapProblem `json:"warnings,omitempty"`

	// problems that keep the map from being Ready, at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Problems []MapProblem `json:"problems,omitempty"`

	// problemCount is the number of problems, listed or not.
	// +optional
	ProblemCount int32 `json:"problemCount,omitempty"`

	// coverage of the schemas that the map names.
	// +optional
	Coverage *MapCoverage `json:"coverage,omitempty"`

	// entities in the map.
	// +optional
	Entities int32 `json:"entities,omitempty"`
}

// PersonalDataMap says where the personal data of a subject is and what happens to it when it must go.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=pdmap,categories=privacy
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Entities",type=integer,JSONPath=`.status.entities`
// +kubebuilder:printcolumn:name="Unknown",type=integer,JSONPath=`.status.coverage.unknown`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PersonalDataMap struct {
	metav1.TypeMeta `json:",inline"`
	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says where the data is.
	// +required
	Spec PersonalDataMapSpec `json:"spec,omitzero"`

	// status is what Lethe found.
	// +optional
	// +kubebuilder:default={observedGeneration:-1}
	Status PersonalDataMapStatus `json:"status,omitzero"`
}

// PersonalDataMapList is a list of PersonalDataMaps.
// +kubebuilder:object:root=true
type PersonalDataMapList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []PersonalDataMap `json:"items"`
}
