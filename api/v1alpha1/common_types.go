package v1alpha1

// LocalReference names an object of the same namespace.
type LocalReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// Operator of a Condition.
// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist;LessThan;GreaterThan
type Operator string

const (
	// OperatorIn holds where the column equals one of the values.
	OperatorIn Operator = "In"
	// OperatorNotIn holds where the column is NULL or equals none of the values.
	OperatorNotIn Operator = "NotIn"
	// OperatorExists holds where the column is not NULL.
	OperatorExists Operator = "Exists"
	// OperatorDoesNotExist holds where the column is NULL.
	OperatorDoesNotExist Operator = "DoesNotExist"
	// OperatorLessThan holds where the column is less than the one value, in the order of the column's type.
	OperatorLessThan Operator = "LessThan"
	// OperatorGreaterThan holds where the column is greater than the one value, in the order of the column's type.
	OperatorGreaterThan Operator = "GreaterThan"
)

// Condition compares one column with constants, in the manner of a label selector requirement. Several conditions in
// a list must all hold. Values are bound, never put into a statement's text.
// +kubebuilder:validation:XValidation:rule="self.operator in ['Exists','DoesNotExist'] ? !has(self.values) || size(self.values) == 0 : has(self.values) && size(self.values) > 0",message="In, NotIn, LessThan and GreaterThan need values; Exists and DoesNotExist take none"
// +kubebuilder:validation:XValidation:rule="!(self.operator in ['LessThan','GreaterThan']) || size(self.values) == 1",message="LessThan and GreaterThan take exactly one value"
type Condition struct {
	// column of the entity's table.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Column string `json:"column,omitempty"`

	// operator that compares the column with the values.
	// +required
	Operator Operator `json:"operator,omitempty"`

	// values to compare with, as text in the notation of the column's type (for example "100", "true", "2026-01-31").
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=512
	Values []string `json:"values,omitempty"`
}

// CategoryCount says how many records of one data category were treated in which way.
type CategoryCount struct {
	// category of the data, as the map names it (for example contact, documents, notes).
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Category string `json:"category,omitempty"`

	// deleted records.
	// +optional
	Deleted int64 `json:"deleted,omitempty"`

	// anonymized records that stay without personal data.
	// +optional
	Anonymized int64 `json:"anonymized,omitempty"`

	// marked records whose mark columns were set.
	// +optional
	Marked int64 `json:"marked,omitempty"`

	// unlinked records of others that lost only their link to the subject.
	// +optional
	Unlinked int64 `json:"unlinked,omitempty"`

	// files removed.
	// +optional
	Files int64 `json:"files,omitempty"`

	// retained records, listed with their basis in status.retained.
	// +optional
	Retained int64 `json:"retained,omitempty"`

	// kept records that the map keeps on a legal basis without an end.
	// +optional
	Kept int64 `json:"kept,omitempty"`

	// shared records that stay because others refer to them too.
	// +optional
	Shared int64 `json:"shared,omitempty"`
}
