package wiring

import (
	"context"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/filesystem"
	"github.com/lethe-dev/lethe/internal/backend/http"
	"github.com/lethe-dev/lethe/internal/backend/redis"
	"github.com/lethe-dev/lethe/internal/backend/s3"
	"github.com/lethe-dev/lethe/internal/backend/sql/mysql"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
	"github.com/lethe-dev/lethe/internal/backend/sql/sqlite"
	"github.com/lethe-dev/lethe/internal/stores"
)

// Openers are the store kinds that this operator knows.
func Openers() stores.Openers {
	return stores.Openers{PostgreSQL: openPostgreSQL, MySQL: openMySQL, SQLite: openSQLite, Filesystem: openFilesystem,
		S3: openS3, Redis: openRedis, HTTP: openHTTP}
}

func openPostgreSQL(ctx context.Context, req stores.Request) (backend.Backend, error) {
	p, l := req.Spec.PostgreSQL, req.Spec.Limits
	if err := noSocket("postgresql", p.Host); err != nil {
		return nil, err
	}
	return postgresql.Open(ctx, postgresql.Config{
		Host: p.Host, Port: int(p.Port), Database: p.Database, Schema: p.Schema, SSLMode: string(p.SSLMode),
		User: string(req.Credentials["username"]), Password: string(req.Credentials["password"]), CACert: req.Credentials["ca.crt"],
		BatchSize: int(l.BatchSize), StatementTimeout: seconds(l.StatementTimeoutSeconds), LockTimeout: seconds(l.LockTimeoutSeconds),
		MaxConnections: int(l.MaxConnections),
	})
}

// noSocket refuses the path of a socket.
func noSocket(kind, host string) error {
	if !strings.Contains(host, "/") {
		return nil
	}
	return &backend.RefusedError{Problem: "spec." + kind + ".host is the path of a socket, which would let a namespace reach databases beside the operator, as the operator's user",
		Remedy: "give the name or address of a server"}
}

func openMySQL(ctx context.Context, req stores.Request) (backend.Backend, error) {
	m, l := req.Spec.MySQL, req.Spec.Limits
	if err := noSocket("mysql", m.Host); err != nil {
		return nil, err
	}
	return mysql.Open(ctx, mysql.Config{
		Host: m.Host, Port: int(m.Port), Database: m.Database, TLSMode: string(m.SSLMode),
		User: string(req.Credentials["username"]), Password: string(req.Credentials["password"]), CACert: req.Credentials["ca.crt"],
		BatchSize: int(l.BatchSize), StatementTimeout: seconds(l.StatementTimeoutSeconds), LockTimeout: seconds(l.LockTimeoutSeconds),
		MaxConnections: int(l.MaxConnections),
	})
}

func openS3(ctx context.Context, req stores.Request) (backend.Backend, error) {
	s := req.Spec.S3
	return s3.Open(ctx, s3.Config{
		Endpoint: s.Endpoint, Region: s.Region, Bucket: s.Bucket, Prefix: s.Prefix, PathStyle: s.Addressing != v1alpha1.S3AddressingVirtualHost,
		AccessKeyID: string(req.Credentials["accessKeyID"]), SecretAccessKey: string(req.Credentials["secretAccessKey"]),
		SessionToken: string(req.Credentials["sessionToken"]), CACert: req.Credentials["ca.crt"],
		BatchSize: min(int(req.Spec.Limits.BatchSize), maxObjects), Timeout: seconds(req.Spec.Limits.StatementTimeoutSeconds),
	})
}

// maxObjects in one request to delete, by the S3 API.
const maxObjects = 1000

func openRedis(ctx context.Context, req stores.Request) (backend.Backend, error) {
	r, l := req.Spec.Redis, req.Spec.Limits
	c := redis.Config{
		Addresses: r.Addresses, Cluster: r.Mode == v1alpha1.RedisCluster, MasterName: r.MasterName, TLS: r.TLSMode != v1alpha1.TLSDisable,
		Username: string(req.Credentials["username"]), Password: string(req.Credentials["password"]),
		SentinelUsername: string(req.Credentials["sentinelUsername"]), SentinelPassword: string(req.Credentials["sentinelPassword"]),
		CACert: req.Credentials["ca.crt"], ClientCert: req.Credentials["tls.crt"], ClientKey: req.Credentials["tls.key"],
		BatchSize: int(l.BatchSize), Timeout: seconds(l.StatementTimeoutSeconds), MaxConnections: int(l.MaxConnections),
	}
	if r.Database != nil {
		c.Database = int(*r.Database)
	}
	return redis.Open(ctx, c)
}

func openHTTP(ctx context.Context, req stores.Request) (backend.Backend, error) {
	h := req.Spec.HTTP
	return http.Open(ctx, http.Config{
		URL: h.URL, AllowPlainText: h.PlainText == v1alpha1.PlainTextAllow, Auth: string(h.Authentication),
		Token: string(req.Credentials["token"]), Username: string(req.Credentials["username"]), Password: string(req.Credentials["password"]),
		CACert: req.Credentials["ca.crt"], ClientCert: req.Credentials["tls.crt"], ClientKey: req.Credentials["tls.key"],
		BatchSize: int(req.Spec.Limits.BatchSize), Timeout: seconds(req.Spec.Limits.StatementTimeoutSeconds), Deadline: seconds(h.OperationTimeoutSeconds),
	})
}

func openSQLite(ctx context.Context, req stores.Request) (backend.Backend, error) {
	l := req.Spec.Limits
	return sqlite.Open(ctx, sqlite.Config{Root: req.LocalRoot, Path: req.Spec.SQLite.Path,
		BatchSize: int(l.BatchSize), StatementTimeout: seconds(l.StatementTimeoutSeconds), LockTimeout: seconds(l.LockTimeoutSeconds)})
}

func openFilesystem(_ context.Context, req stores.Request) (backend.Backend, error) {
	return filesystem.Open(filesystem.Config{Root: req.LocalRoot, Path: req.Spec.Filesystem.Path, BatchSize: int(req.Spec.Limits.BatchSize)})
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
