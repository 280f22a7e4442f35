package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SSLMode of a connection to a database, as libpq defines it.
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

// MySQLStore is a MySQL database, version 8.0 or later, or a MariaDB database, version 10.6 or later.
type MySQLStore struct {
	// host name or address of the server.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`

	// port of the server. Default 3306.
	// +optional
	// +kubebuilder:default=3306
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// database name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Database string `json:"database,omitempty"`

	// sslMode of the connection. Default verify-full.
	// +optional
	// +kubebuilder:default=verify-full
	SSLMode SSLMode `json:"sslMode,omitempty"`

	// credentialsSecretRef names a Secret with the keys username and password, and optionally ca.crt (PEM) for the
	// server's certificate.
	// +required
	CredentialsSecretRef LocalReference `json:"credentialsSecretRef,omitzero"`
}

// S3Addressing says where the bucket's name stands in a URL.
// +kubebuilder:validation:Enum=Path;VirtualHost
type S3Addressing string

const (
	// S3AddressingPath puts the bucket into the path; every server understands it.
	S3AddressingPath S3Addressing = "Path"
	// S3AddressingVirtualHost puts the bucket into the host name, as Amazon S3 wants it.
	S3AddressingVirtualHost S3Addressing = "VirtualHost"
)

// S3Store is a bucket of an S3-compatible object store, or the part of it below a prefix.
type S3Store struct {
	// endpoint of the service, for example https://s3.eu-central-1.amazonaws.com.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[^/?#@]+/?$`
	Endpoint string `json:"endpoint,omitempty"`

	// region of the bucket. Default us-east-1.
	// +optional
	// +kubebuilder:default=us-east-1
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Region string `json:"region,omitempty"`

	// bucket name.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9]$`
	Bucket string `json:"bucket,omitempty"`

	// prefix of all keys that this store has; keys in data maps are relative to it. Default: the whole bucket.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Prefix string `json:"prefix,omitempty"`

	// addressing of the bucket: Path or VirtualHost. Default Path.
	// +optional
	// +kubebuilder:default=Path
	Addressing S3Addressing `json:"addressing,omitempty"`

	// credentialsSecretRef names a Secret with the keys accessKeyID and secretAccessKey, and optionally sessionToken and
	// ca.crt (PEM) for the server's certificate.
	// +required
	CredentialsSecretRef LocalReference `json:"credentialsSecretRef,omitzero"`
}

// RedisMode is how the servers of a Redis belong together.
// +kubebuilder:validation:Enum=Standalone;Cluster;Sentinel
type RedisMode string

const (
	// RedisStandalone is one server.
	RedisStandalone RedisMode = "Standalone"
	// RedisCluster is a Redis Cluster; the addresses are some of its nodes.
	RedisCluster RedisMode = "Cluster"
	// RedisSentinel finds the server through sentinels, whose addresses are given.
	RedisSentinel RedisMode = "Sentinel"
)

// TLSMode says whether a connection is encrypted.
// +kubebuilder:validation:Enum=Verify;Disable
type TLSMode string

const (
	// TLSVerify encrypts and checks the server's certificate.
	TLSVerify TLSMode = "Verify"
	// TLSDisable does not encrypt.
	TLSDisable TLSMode = "Disable"
)

// RedisStore is a Redis server or cluster, or another one with its protocol.
// +kubebuilder:validation:XValidation:rule="self.mode == 'Sentinel' ? has(self.masterName) : !has(self.masterName)",message="masterName belongs to the mode Sentinel, and Sentinel needs it"
// +kubebuilder:validation:XValidation:rule="self.mode != 'Cluster' || !has(self.database) || self.database == 0",message="a Redis Cluster has no databases but 0"
type RedisStore struct {
	// addresses as host:port; several for a cluster or sentinels.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=260
	// +kubebuilder:validation:items:Pattern=`^.+:[0-9]{1,5}$`
	Addresses []string `json:"addresses,omitempty"`

	// mode of the servers: Standalone, Cluster or Sentinel. Default Standalone.
	// +optional
	// +kubebuilder:default=Standalone
	Mode RedisMode `json:"mode,omitempty"`

	// masterName that the sentinels know.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	MasterName string `json:"masterName,omitempty"`

	// database number. Default 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Database *int32 `json:"database,omitempty"`

	// tlsMode of the connection: Verify or Disable. Default Verify.
	// +optional
	// +kubebuilder:default=Verify
	TLSMode TLSMode `json:"tlsMode,omitempty"`

	// credentialsSecretRef names a Secret with the key password, and optionally username, ca.crt (PEM) for the server's
	// certificate, tls.crt with tls.key for a client certificate, and sentinelUsername and sentinelPassword. Default: no
	// credentials.
	// +optional
	CredentialsSecretRef *LocalReference `json:"credentialsSecretRef,omitempty"`
}

// HTTPAuthentication is how Lethe proves to a service who it is.
// +kubebuilder:validation:Enum=None;Bearer;Basic;ClientCertificate
type HTTPAuthentication string

const (
	// HTTPAuthNone proves nothing.
	HTTPAuthNone HTTPAuthentication = "None"
	// HTTPAuthBearer sends the Secret's token.
	HTTPAuthBearer HTTPAuthentication = "Bearer"
	// HTTPAuthBasic sends the Secret's username and password.
	HTTPAuthBasic HTTPAuthentication = "Basic"
	// HTTPAuthClientCertificate shows the Secret's tls.crt with tls.key.
	HTTPAuthClientCertificate HTTPAuthentication = "ClientCertificate"
)

// PlainTextPolicy says what to do with a URL without TLS.
// +kubebuilder:validation:Enum=Refuse;Allow
type PlainTextPolicy string

const (
	// PlainTextRefuse refuses it.
	PlainTextRefuse PlainTextPolicy = "Refuse"
	// PlainTextAllow sends ids and credentials unencrypted, for services behind an encrypting mesh.
	PlainTextAllow PlainTextPolicy = "Allow"
)

// HTTPStore is a service that implements Lethe's HTTP contract.
// +kubebuilder:validation:XValidation:rule="self.authentication == 'None' || has(self.credentialsSecretRef)",message="this authentication needs credentialsSecretRef"
type HTTPStore struct {
	// url under which the contract is served, for example https://crm.example.com/privacy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^https?://[^/?#@]+(/[^?#]*)?$`
	URL string `json:"url,omitempty"`

	// plainText says what to do with an http URL, over which ids and credentials go unencrypted: Refuse, or Allow for services
	// behind an encrypting mesh. Default Refuse.
	// +optional
	// +kubebuilder:default=Refuse
	PlainText PlainTextPolicy `json:"plainText,omitempty"`

	// authentication of Lethe: None, Bearer, Basic or ClientCertificate. There is no default.
	// +required
	Authentication HTTPAuthentication `json:"authentication,omitempty"`

	// credentialsSecretRef names a Secret with what the authentication needs (token; username and password; tls.crt and
	// tls.key), and optionally ca.crt (PEM) for the server's certificate.
	// +optional
	CredentialsSecretRef *LocalReference `json:"credentialsSecretRef,omitempty"`

	// operationTimeoutSeconds is how long one attempt waits for an erasure that the service has accepted and carries out
	// later; then the run tries again later. Default 300, range 1 to 3600.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	OperationTimeoutSeconds int32 `json:"operationTimeoutSeconds,omitempty"`
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
// +kubebuilder:validation:ExactlyOneOf=postgresql;mysql;sqlite;filesystem;s3;redis;http
type DataStoreSpec struct {
	// postgresql database.
	// +optional
	PostgreSQL *PostgreSQLStore `json:"postgresql,omitempty"`

	// mysql database, or one of MariaDB.
	// +optional
	MySQL *MySQLStore `json:"mysql,omitempty"`

	// sqlite database file.
	// +optional
	SQLite *SQLiteStore `json:"sqlite,omitempty"`

	// filesystem folder.
	// +optional
	Filesystem *FilesystemStore `json:"filesystem,omitempty"`

	// s3 bucket.
	// +optional
	S3 *S3Store `json:"s3,omitempty"`

	// redis server or cluster.
	// +optional
	Redis *RedisStore `json:"redis,omitempty"`

	// http service.
	// +optional
	HTTP *HTTPStore `json:"http,omitempty"`

	// limits on what Lethe asks of the store.
	// +optional
	// +kubebuilder:default={}
	Limits StoreLimits `json:"limits,omitzero"`
}

// DataStoreStatus is what Lethe found when it last looked at the store.
type DataStoreStatus struct {
	// observedGeneration is the generation that the status speaks of; -1 until the operator has seen the object.
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
// +kubebuilder:storageversion
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
	// +kubebuilder:default={observedGeneration:-1}
	Status DataStoreStatus `json:"status,omitzero"`
}

// DataStoreList is a list of DataStores.
// +kubebuilder:object:root=true
type DataStoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []DataStore `json:"items"`
}
