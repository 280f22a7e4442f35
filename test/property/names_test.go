package property

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend/redis"
	"github.com/lethe-dev/lethe/internal/backend/s3"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/test/s3test"
)

// thing is one entry in another store: a version of an object, a key of Redis, or a member of one.
type thing struct{ store, key, member string }

// The stores of things.
const (
	objects   = "objects"
	redisKeys = "keys"
)

// naming is what the rows of a table name in another store, by the values of columns.
type naming struct {
	store string
	kind  nameKind
	start string // of every name, before the columns' values
	// tail of a pattern, after the name and before the wildcard.
	tail    string
	columns []string
}

// nameKind is how a name leads to things.
type nameKind string

const (
	oneObject   nameKind = "object"
	folder      nameKind = "folder of objects"
	prefixed    nameKind = "prefix of objects"
	oneKey      nameKind = "key"
	pattern     nameKind = "pattern"
	hashField   nameKind = "field"           // that the name is, of a hash that all rows share
	ownField    nameKind = "field of a hash" // that the name is
	setMember   nameKind = "member of a set"
	rankedEntry nameKind = "member of a sorted set"
)

var kindsOf = map[string][]nameKind{
	objects:   {oneObject, folder, prefixed},
	redisKeys: {oneKey, pattern, pattern, hashField, ownField, setMember, rankedEntry},
}

// Values that are easily taken for one another, or for a wildcard. No bar is in them: bars separate them from what follows.
var (
	handles = []string{"1", "10", "11", "01", "1 ", " 1", "*", "?", "1*", "1?", "[1]", "[^1]", "[", "]", `\`, `\*`, `a\b`, "a_b", "a%b", "axb", "o'neil", `q"uote`,
		"K", "k", "\u212a", "é", "e\u0301", "ß", "ss", "😀", "a\nb", "{1}", "$1", "-", "^", "a:b", "a:b:*", "NULL", "%31", ".", "\u200b1"}
	// literal values stand where nothing follows them.
	literals = append([]string{"a|b", "a|b|*", "x/y", "../1", "1|s"}, handles...)
)

// drawNamings lets the rows of a table name things in the other stores.
func (w *world) drawNamings(t *rapid.T, i int) {
	tb := w.tables[i]
	if tb.entity.Action == v1alpha1.ActionMark { // what it names would stay, so that no map says so
		return
	}
	for _, store := range []string{objects, redisKeys, redisKeys} {
		if !w.beside[store] || !chance(t, 2, "names "+store) {
			continue
		}
		n := naming{store: store, kind: pick(t, kindsOf[store], "kind of name"), start: fmt.Sprintf("%c%d-%d:", store[0], i, len(tb.namings))}
		if n.columns = w.drawNaming(t, tb, n.kind == oneObject || n.kind == folder); n.columns == nil {
			n.columns = []string{tb.addHandle(n.kind)}
		}
		if n.kind == pattern {
			n.tail = pick(t, []string{"|", "|s", "|?", "|[a-t]"}, "tail")
		}
		tb.namings = append(tb.namings, n)
		n.declare(&tb.entity)
	}
}

// addHandle adds a unique column for names of a kind.
func (tb *table) addHandle(kind nameKind) string {
	h := handle{column: fmt.Sprintf("h%d", len(tb.namings)), values: handles}
	switch kind {
	case oneObject:
		h.values = append([]string{"x/y", "x/z"}, names...)
	case folder:
		h.values = names
	case oneKey, hashField, ownField, setMember, rankedEntry:
		h.values = literals
	}
	tb.add(h.column, "text", false)
	tb.handles = append(tb.handles, h)
	return h.column
}

// handle is a unique column of a name's own.
type handle struct {
	column string
	values []string
}

// drawNaming chooses columns that name one row, or the rows of one subject; nil is a column of its own.
func (w *world) drawNaming(t *rapid.T, tb *table, path bool) []string {
	var choices [][]string
	choices = append(choices, nil, tb.key)
	deep := slices.DeleteFunc(slices.Clone(tb.refs), func(f ref) bool { return !f.deep })
	// Of a row with several ways to a subject none may be the name of another subject's things.
	if len(deep) == 1 && deep[0].whenColumn == "" && len(tb.entity.IdentifiedBy) == 0 && (!tb.hasTenant || slices.Contains(deep[0].columns, "tenant")) {
		choices = append(choices, deep[0].columns, deep[0].columns)
	}
	columns := pick(t, choices, "named by")
	for _, c := range columns {
		if kind := tb.column(c).kind; path && kind != "int" && kind != "small" && kind != "uuid" && kind != "date" {
			return nil
		}
	}
	return columns
}

// declare the naming in the map.
func (n naming) declare(e *v1alpha1.Entity) {
	columns := "{" + strings.Join(n.columns, "}|{") + "}"
	key := v1alpha1.KeyReference{Store: n.store, Key: n.start + columns}
	switch n.kind {
	case oneObject:
		e.Files = append(e.Files, v1alpha1.FileReference{Store: n.store, Path: n.start + columns, Kind: v1alpha1.FileKindFile})
		return
	case folder:
		e.Files = append(e.Files, v1alpha1.FileReference{Store: n.store, Path: n.start + columns, Kind: v1alpha1.FileKindDirectory})
		return
	case prefixed:
		e.Files = append(e.Files, v1alpha1.FileReference{Store: n.store, Path: n.start + columns + "|", Kind: v1alpha1.FileKindPrefix})
		return
	case pattern:
		key.Key += n.tail + "*"
	case ownField:
		key.Kind, key.Member = v1alpha1.KeyKindHashField, "email"
	case hashField:
		key.Kind, key.Key, key.Member = v1alpha1.KeyKindHashField, n.start, columns
	case setMember:
		key.Kind, key.Key, key.Member = v1alpha1.KeyKindSetMember, n.start, columns
	case rankedEntry:
		key.Kind, key.Key, key.Member = v1alpha1.KeyKindSortedSetMember, n.start, columns
	}
	e.Keys = append(e.Keys, key)
}

// value that a row puts into the name; false if it names nothing.
func (n naming) value(r *row) (string, bool) {
	var values []string
	for _, c := range n.columns {
		if r.v[c] == nil || *r.v[c] == "" {
			return "", false
		}
		values = append(values, *r.v[c])
	}
	return strings.Join(values, "|"), true
}

// leads tells whether a row names a thing.
func (n naming) leads(r *row, x thing) bool {
	v, ok := n.value(r)
	if !ok || x.store != n.store {
		return false
	}
	name := n.start + v
	switch n.kind {
	case oneObject:
		return x.key == name
	case folder:
		return strings.HasPrefix(x.key, name+"/")
	case prefixed:
		return strings.HasPrefix(x.key, name+"|")
	case oneKey:
		return x.member == "" && x.key == name
	case pattern:
		rest, ok := strings.CutPrefix(x.key, name+"|")
		switch n.tail {
		case "|":
			return ok
		case "|s":
			return ok && strings.HasPrefix(rest, "s")
		case "|?":
			return ok && rest != ""
		}
		return ok && rest != "" && rest[0] >= 'a' && rest[0] <= 't'
	case ownField:
		return x.key == name && x.member == "field email"
	case hashField:
		return x.key == n.start && x.member == "field "+v
	default:
		return x.key == n.start && x.member == "member "+v
	}
}

// expectThings finds the things that must be gone: those that the subject's rows name, unless one that names them stays.
func (e *expectation) expectThings(w *world, before snapshot) {
	for x := range before.things {
		owners, stays := 0, false
		for _, tb := range w.tables {
			for _, n := range tb.namings {
				for _, r := range tb.rows {
					if n.leads(r, x) {
						owners++
						f := e.fates[r]
						stays = stays || f != gone && f != changed
					}
				}
			}
		}
		if owners > 0 && !stays {
			e.things[x] = owners
		}
	}
}

// checkThings compares all things: what must not be gone is as it was.
func (e *expectation) checkThings(before, after snapshot) (wrong []string) {
	for x, was := range before.things {
		is, there := after.things[x]
		switch {
		case there == (e.things[x] > 0):
			wrong = append(wrong, fmt.Sprintf("%s %q %q is there: %t", x.store, x.key, x.member, there))
		case there && was != is:
			wrong = append(wrong, fmt.Sprintf("%s %q %q was changed", x.store, x.key, x.member))
		}
	}
	for x := range after.things {
		if _, ok := before.things[x]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s %q %q is new", x.store, x.key, x.member))
		}
	}
	return wrong
}

func (w *world) tallyThings(e *expectation, before snapshot, seen map[string]int) {
	for x := range before.things {
		for _, tb := range w.tables {
			for _, n := range tb.namings {
				for _, r := range tb.rows {
					if !n.leads(r, x) {
						continue
					}
					switch f := e.fates[r]; {
					case e.things[x] > 1:
						seen["named by several"]++
						fallthrough
					case e.things[x] > 0:
						seen[string(n.kind)]++
					case f != "":
						seen["named by what stays"]++
					default:
						seen["named by others"]++
					}
				}
			}
		}
		if e.things[x] > 0 && x.store == objects {
			seen[strings.Fields(x.member)[0]]++
		}
	}
}

// drawThings puts into the other stores what the rows name, what has names like that, and more.
func (w *world) drawThings(t *rapid.T) {
	for _, tb := range w.tables {
		for _, n := range tb.namings {
			for _, r := range tb.rows {
				if v, ok := n.value(r); ok {
					n.drawThing(t, w, v)
				}
			}
			for range rapid.IntRange(0, 2).Draw(t, "like a name") {
				n.drawStray(t, w)
			}
		}
	}
}

func (n naming) drawThing(t *rapid.T, w *world, v string) {
	some := func(suffixes ...string) {
		for _, s := range rapid.SliceOfNDistinct(rapid.SampledFrom(suffixes), 0, 2, rapid.ID[string]).Draw(t, "under the name") {
			w.put(t, n, thing{n.store, n.start + v + s, ""})
		}
	}
	switch n.kind {
	case folder:
		some("/a", "/sub/a", "/sub/b", "/a_b")
	case prefixed:
		some("|a", "|1", "|b/c", "|*")
	case pattern:
		some("|", "|s", "|s1", "|*", "|x|s", "|\u212a")
	case ownField:
		w.put(t, n, thing{n.store, n.start + v, "field email"})
		w.put(t, n, thing{n.store, n.start + v, "field " + pick(t, []string{"EMAIL", "email ", "*"}, "another field")})
	case hashField:
		w.put(t, n, thing{n.store, n.start, "field " + v})
	case setMember, rankedEntry:
		w.put(t, n, thing{n.store, n.start, "member " + v})
	default:
		w.put(t, n, thing{n.store, n.start + v, ""})
	}
}

// drawStray makes something that only a careless comparison takes for what a row names, or that a row of somebody names.
func (n naming) drawStray(t *rapid.T, w *world) {
	pool := handles
	if n.kind == oneObject || n.kind == folder {
		pool = names
	}
	v := pick(t, pool, "like a value")
	x := thing{n.store, n.start + v + pick(t, []string{"0", "x", " "}, "and more"), ""}
	switch n.kind {
	case folder, prefixed:
		x.key += "-a"
	case pattern:
		x.key = n.start + v
	case hashField, ownField:
		x = thing{n.store, n.start, "field " + v}
	case setMember, rankedEntry:
		x = thing{n.store, n.start, "member " + v}
	}
	w.put(t, n, x)
}

// put a thing, unless there is one in its place by chance.
func (w *world) put(t *rapid.T, n naming, x thing) {
	if !chance(t, 6, "there is none") {
		w.things[x] = made{kind: n.kind, versions: rapid.IntRange(1, 2).Draw(t, "versions"), deleted: chance(t, 4, "deleted"), upload: chance(t, 4, "upload"),
			expires: rapid.Bool().Draw(t, "expires")}
	}
}

// made is how a thing is made.
type made struct {
	kind            nameKind
	versions        int
	deleted, upload bool // of objects
	expires         bool // a key
}

const farAway = 4102444800 // the year 2100

// bucket makes a bucket with the world's objects.
func (w *world) bucket(ctx context.Context, p *place) error {
	name, err := shared.objects.CreateBucket(ctx, false)
	if err != nil {
		return err
	}
	root := shared.objects.Root
	client, err := shared.objects.Client(root)
	if err != nil {
		return err
	}
	if w.versions {
		if err := client.EnableVersioning(ctx, name); err != nil {
			return err
		}
	}
	for _, x := range w.sorted(objects) {
		if err := w.things[x].store(ctx, client, name, x.key, w.versions); err != nil {
			return fmt.Errorf("make %q: %w", x.key, err)
		}
	}
	p.dumps = append(p.dumps, func(ctx context.Context, s snapshot) error { return listObjects(ctx, client, name, s) })
	b, err := s3.Open(ctx, s3.Config{Endpoint: shared.objects.URL(), Region: s3test.Region, Bucket: name, PathStyle: true, AccessKeyID: root.AccessKeyID,
		SecretAccessKey: root.SecretAccessKey, BatchSize: w.batch})
	p.open[objects] = &stores.Store{Backend: b, Name: objects, Kind: planner.ObjectStore, Limits: v1alpha1.StoreLimits{BatchSize: int32(w.batch)}}
	return err
}

func (w *world) sorted(store string) []thing {
	list := slices.Collect(maps.Keys(w.things))
	list = slices.DeleteFunc(list, func(x thing) bool { return x.store != store })
	slices.SortFunc(list, func(a, b thing) int { return strings.Compare(a.key+"\x00"+a.member, b.key+"\x00"+b.member) })
	return list
}

func (m made) store(ctx context.Context, client *minio.Core, bucket, key string, versions bool) error {
	if !versions {
		m.versions, m.deleted = 1, false
	}
	for i := range m.versions {
		content := fmt.Sprintf("version %d of %s", i, key)
		if _, err := client.Client.PutObject(ctx, bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
			return err
		}
	}
	if m.deleted {
		if err := client.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{}); err != nil {
			return err
		}
	}
	if m.upload {
		_, err := client.NewMultipartUpload(ctx, bucket, key, minio.PutObjectOptions{})
		return err
	}
	return nil
}

// listObjects lists versions, delete markers and uploads. Their ids differ from bucket to bucket, so they get numbers.
func listObjects(ctx context.Context, client *minio.Core, bucket string, s snapshot) error {
	found := map[string][]string{}
	for o := range client.Client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			return o.Err
		}
		kind := "version"
		if o.IsDeleteMarker {
			kind = "marker"
		}
		found[o.Key] = append(found[o.Key], fmt.Sprintf("%s %s %d", kind, o.ETag, o.Size))
	}
	uploads, err := client.ListMultipartUploads(ctx, bucket, "", "", "", "", 1000)
	if err != nil {
		return err
	}
	for _, u := range uploads.Uploads {
		found[u.Key] = append(found[u.Key], "upload")
	}
	for key, list := range found {
		slices.Sort(list)
		for i, what := range list {
			kind, content, _ := strings.Cut(what, " ")
			s.things[thing{objects, key, fmt.Sprintf("%s %d", kind, i)}] = content
		}
	}
	return nil
}

// redis fills a database of the server with the world's keys.
func (w *world) redis(ctx context.Context, p *place) error {
	shared.databases++
	number := shared.databases % 16
	client := shared.redis.Client()
	p.undo = append(p.undo, func(context.Context) error { return client.Close() })
	conn := client.Conn()
	if err := conn.Select(ctx, number).Err(); err != nil {
		return err
	}
	if err := conn.FlushDB(ctx).Err(); err != nil {
		return err
	}
	if _, err := conn.Pipelined(ctx, func(pipe goredis.Pipeliner) error {
		for _, x := range w.sorted(redisKeys) {
			w.things[x].set(ctx, pipe, x)
		}
		return nil
	}); err != nil {
		return err
	}
	p.dumps = append(p.dumps, func(ctx context.Context, s snapshot) error { return listKeys(ctx, conn, s) })
	b, err := redis.Open(ctx, redis.Config{Addresses: []string{shared.redis.Addr()}, Password: shared.redis.Password, Database: number, BatchSize: w.batch})
	p.open[redisKeys] = &stores.Store{Backend: b, Name: redisKeys, Kind: planner.KeyStore, Limits: v1alpha1.StoreLimits{BatchSize: int32(w.batch)}}
	return err
}

func (m made) set(ctx context.Context, pipe goredis.Pipeliner, x thing) {
	what, name, _ := strings.Cut(x.member, " ")
	switch {
	case what == "field":
		pipe.HSet(ctx, x.key, name, "value of "+name)
	case m.kind == setMember:
		pipe.SAdd(ctx, x.key, name)
	case what == "member":
		pipe.ZAdd(ctx, x.key, goredis.Z{Score: float64(len(name)), Member: name})
	default:
		pipe.Set(ctx, x.key, "value of "+x.key, 0)
	}
	if m.expires {
		pipe.Do(ctx, "EXPIREAT", x.key, farAway)
	}
}

func listKeys(ctx context.Context, conn *goredis.Conn, s snapshot) error {
	all, err := conn.Keys(ctx, "*").Result()
	if err != nil {
		return err
	}
	for _, key := range all {
		expires, err := conn.Do(ctx, "EXPIRETIME", key).Int64()
		if err != nil {
			return err
		}
		put := func(member, value string) {
			s.things[thing{redisKeys, key, member}] = fmt.Sprintf("%s until %d", value, expires)
		}
		switch kind, err := conn.Type(ctx, key).Result(); {
		case err != nil:
			return err
		case kind == "hash":
			fields, err := conn.HGetAll(ctx, key).Result()
			if err != nil {
				return err
			}
			for f, v := range fields {
				put("field "+f, v)
			}
		case kind == "set":
			members, err := conn.SMembers(ctx, key).Result()
			if err != nil {
				return err
			}
			for _, m := range members {
				put("member "+m, "")
			}
		case kind == "zset":
			members, err := conn.ZRangeWithScores(ctx, key, 0, -1).Result()
			if err != nil {
				return err
			}
			for _, m := range members {
				put("member "+m.Member.(string), fmt.Sprint(m.Score))
			}
		default:
			v, err := conn.Get(ctx, key).Result()
			if err != nil {
				return err
			}
			put("", v)
		}
	}
	return nil
}
