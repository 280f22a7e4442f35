package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SSLMode of a PostgreSQL connection, as libpq defines it.
// +kubebuilder:validation:Enum=disable;require;verify-ca;verify-full
type SSLMode string

// PostgreSQLStore is a PostgreSQL database, version 13 or later.
type PostgreSQLStore struct {
	// host name or address of the server.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`

	// port of the server. Default 5432.
	// +optional
	// +kubebuilder:default=5432
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// database name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Database string `json:"database,omitempty"`

	// schema of the tables that name none. Default public.
	// +optional
	// +kubebuilder:default=public
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Schema string `json:"schema,omitempty"`

	// sslMode of the connection. Default verify-full.
	// +optional
	// +kubebuilder:default=verify-full
	SSLMode SSLMode `json:"sslMode,omitempty"`

	// credentialsSecretRef names a Secret with the keys username and password, and optionally ca.crt (PEM) for the
	// server's certificate.
	// +required
	CredentialsSecretRef LocalReference `json:"credentialsSecretRef,omitzero"`
}

// SQLiteStore is a SQLite database file under the root that the operator's flag --local-root assigns to the namespace.
type SQLiteStore struct {
	// path of the database file, relative to the namespace's root. It may not leave the root.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`
}

// FilesystemStore is a folder under the root that the operator's flag --local-root assigns to the namespace.
type FilesystemStore struct {
	// path of the folder, relative to the namespace's root. It may not leave the root, and no symbolic link is followed
	// out of it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Path string `json:"path,omitempty"`
}

// StoreLimits bound what Lethe asks of a store.
type StoreLimits struct {
	// batchSize is the number of records or files in one statement or batch. Default 1000, range 1 to 50000.
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50000
	BatchSize int32 `json:"batchSize,omitempty"`

	// statementTimeoutSeconds ends a statement that takes longer. Default 60, range 1 to 3600.
	// +optional
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	StatementTimeoutSeconds int32 `json:"statementTimeoutSeconds,omitempty"`

	// lockTimeoutSeconds ends a wait for a lock that an application holds. Default 10, range 1 to 600.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=600
	LockTimeoutSeconds int32 `json:"lockTimeoutSeconds,omitempty"`

	// maxConnections that Lethe opens. Default 4, range 1 to 64.
	// +optional
	// +kubebuilder:default=4
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	MaxConnections int32 `json:"maxConnections,omitempty"`

	// maxRowsPerRun is a safety stop: a plan with more records in this store waits with reason PlanTooLarge instead of
	// running. Default 100000.
	// +optional
	// +kubebuilder:default=100000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000000
	MaxRowsPerRun int64 `json:"maxRowsPerRun,omitempty"`
}

// DataStoreSpec says how to reach one store. Exactly one of the store kinds is set.
// +kubebuilder:validation:ExactlyOneOf=postgresql;sqlite;filesystem
type DataStoreSpec struct {
	// postgresql database.
	// +optional
	PostgreSQL *PostgreSQLStore `json:"postgresql,omitempty"`

	// sqlite database file.
	// +optional
	SQLite *SQLiteStore `json:"sqlite,omitempty"`

	// filesystem folder.
	// +optional
	Filesystem *FilesystemStore `json:"filesystem,omitempty"`

	// limits on what Lethe asks of the store.
	// +optional
	// +kubebuilder:default={}
	Limits StoreLimits `json:"limits,omitzero"`
}

// DataStoreStatus is what Lethe found when it last looked at the store.
type DataStoreStatus struct {
	// observedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions in the manner of kstatus, of the types Ready, Reachable, PrivilegesSufficient, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// serverVersion that the store reports.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ServerVersion string `json:"serverVersion,omitempty"`

	// transactional is true when all records of one run go in one transaction.
	// +optional
	Transactional *bool `json:"transactional,omitempty"`
}

// DataStore is one database, folder or service that holds personal data.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=dstore,categories=privacy
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.serverVersion`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DataStore struct {
	metav1.TypeMeta `json:",inline"`
	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says how to reach the store.
	// +required
	Spec DataStoreSpec `json:"spec,omitzero"`

	// status is what Lethe found.
	// +optional
	Status DataStoreStatus `json:"status,omitzero"`
}

// DataStoreList is a list of DataStores.
// +kubebuilder:object:root=true
type DataStoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []DataStore `json:"items"`
}
