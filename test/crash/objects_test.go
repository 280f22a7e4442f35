package crash_test

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// fileBatch is small, so that one person's files are several batches.
const fileBatch = 3

// declarations are the objects that say where the data is.
func declarations(namespace, database, host string, port int) []client.Object {
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: namespace} }
	return []client.Object{
		&corev1.Secret{ObjectMeta: named("database"), StringData: map[string]string{"username": operatorRole, "password": operatorPassword}},
		&v1alpha1.DataStore{ObjectMeta: named("database"), Spec: v1alpha1.DataStoreSpec{PostgreSQL: &v1alpha1.PostgreSQLStore{
			Host: host, Port: int32(port), Database: database, SSLMode: "disable", CredentialsSecretRef: v1alpha1.LocalReference{Name: "database"}}}},
		&v1alpha1.DataStore{ObjectMeta: named("storage"), Spec: v1alpha1.DataStoreSpec{
			Filesystem: &v1alpha1.FilesystemStore{Path: "storage"}, Limits: v1alpha1.StoreLimits{BatchSize: fileBatch}}},
		&v1alpha1.RetentionPolicy{ObjectMeta: named("requests"), Spec: v1alpha1.RetentionPolicySpec{
			Requests: &v1alpha1.RequestPolicy{GracePeriod: "P30D", ArchiveRetention: "P30D"}}},
		&v1alpha1.PersonalDataMap{ObjectMeta: named("people"), Spec: v1alpha1.PersonalDataMapSpec{Entities: entities(),
			Ignored: []v1alpha1.IgnoredTable{{Store: "database", Table: "departments", Reason: "no persons"}}}},
	}
}

func in(column string, values ...string) []v1alpha1.Condition {
	return []v1alpha1.Condition{{Column: column, Operator: v1alpha1.OperatorIn, Values: values}}
}

func parent(entity, column string, relation v1alpha1.ParentRelation) []v1alpha1.Parent {
	return []v1alpha1.Parent{{Entity: entity, Relation: relation, Columns: []v1alpha1.ColumnPair{{Column: column, ParentColumn: "id"}}}}
}

func identified(columns ...string) []v1alpha1.IdentityMatch {
	var matches []v1alpha1.IdentityMatch
	for _, column := range columns {
		matches = append(matches, v1alpha1.IdentityMatch{Column: column, Identity: "email", Normalize: v1alpha1.NormalizeLowerCase})
	}
	return matches
}

func entities() []v1alpha1.Entity {
	entity := func(name, category string, key ...string) v1alpha1.Entity {
		return v1alpha1.Entity{Name: name, Store: "database", Table: name, Key: key, Category: category, Action: v1alpha1.ActionDelete}
	}
	people := entity("persons", "contact", "id")
	people.Root = &v1alpha1.Root{Rows: v1alpha1.RowsOne}
	people.IdentifiedBy = append([]v1alpha1.IdentityMatch{{Column: "id", Identity: v1alpha1.IdentityID}}, identified("email")...)
	people.Clocks = []v1alpha1.Clock{{Name: "birth", Column: "birth_date"}}
	people.Conditions = in("tenant", "acme")
	people.Parents = parent("persons", "referred_by", v1alpha1.RelationShallow)
	people.Deactivate = []v1alpha1.ColumnValue{{Column: "status", Value: ptr.To("deactivated")}, {Column: "portal_access", Value: ptr.To("false")}}
	people.Pinned = &v1alpha1.Pinned{Fields: []v1alpha1.FieldChange{{Column: "email", Strategy: v1alpha1.StrategyPseudonym},
		{Column: "full_name", Strategy: v1alpha1.StrategyConstant, Value: ptr.To("removed")}, {Column: "phone", Strategy: v1alpha1.StrategyNull},
		{Column: "birth_date", Strategy: v1alpha1.StrategyTruncateDate, Unit: v1alpha1.UnitYear}}}

	applications := entity("applications", "profile", "id")
	applications.Parents = parent("persons", "person_id", v1alpha1.RelationDeep)

	notes := entity("notes", "notes", "application_id", "position")
	notes.Parents = parent("applications", "application_id", v1alpha1.RelationDeep)

	interviews := entity("interviews", "transcripts", "id")
	interviews.Parents = parent("applications", "application_id", v1alpha1.RelationDeep)
	interviews.Files = []v1alpha1.FileReference{{Store: "storage", Path: "recordings/{recording_dir}", Kind: v1alpha1.FileKindDirectory, Category: "recordings"}}

	documents := entity("documents", "documents", "id")
	documents.Parents = parent("persons", "person_id", v1alpha1.RelationDeep)
	documents.Files = []v1alpha1.FileReference{{Store: "storage", Path: "documents/{folder}/{file_name}"}}
	documents.Clocks = []v1alpha1.Clock{{Name: "issued", Column: "issued_at"}}
	documents.Holds = []v1alpha1.StatutoryHold{{Name: "tax", LegalBasis: "AO section 147", Conditions: in("kind", "invoice"), Clock: "issued_at", Period: "P10Y"}}

	messages := entity("messages", "communication", "id")
	messages.Parents = parent("persons", "person_id", v1alpha1.RelationDeep)
	messages.IdentifiedBy = identified("from_email", "to_email")
	messages.Conditions = in("tenant", "acme")

	consents := entity("consents", "consent", "id")
	consents.Action, consents.Order = v1alpha1.ActionAnonymize, v1alpha1.OrderFinal
	consents.IdentifiedBy = identified("email")
	consents.Conditions = in("tenant", "acme")
	consents.Fields = []v1alpha1.FieldChange{{Column: "email", Strategy: v1alpha1.StrategyPseudonym}, {Column: "token", Strategy: v1alpha1.StrategyRandom},
		{Column: "ip_address", Strategy: v1alpha1.StrategyNull}}
	return []v1alpha1.Entity{people, applications, notes, interviews, documents, messages, consents}
}

// request asks to erase a person, with a Secret that holds the address.
func request(namespace, name string, person int, timing v1alpha1.Timing) []client.Object {
	return []client.Object{
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Annotations: map[string]string{v1alpha1.AnnotationRequest: name}},
			Type:       v1alpha1.IdentitiesSecretType, StringData: map[string]string{"email": email(person)},
		},
		&v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
			Spec: v1alpha1.ErasureRequestSpec{Source: v1alpha1.SourceSubject, Timing: timing,
				Subject: v1alpha1.Subject{ID: personID(person), IdentitiesSecretRef: &v1alpha1.LocalReference{Name: name}}}},
	}
}

// hold is a legal hold on a person, or, without one, on the documents that are evidence.
func hold(namespace, name string, subjects ...string) *v1alpha1.LegalHold {
	h := &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.LegalHoldSpec{Reason: "court", Subjects: subjects}}
	if len(subjects) == 0 {
		h.Spec.Records = []v1alpha1.HoldSelector{{Map: "people", Entity: "documents", Conditions: in("kind", "evidence")}}
	}
	return h
}
