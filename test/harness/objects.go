package harness

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// ATSObjects are the stores and the map of the sample system.
func ATSObjects(namespace string) []client.Object {
	return []client.Object{
		&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "ats", Namespace: namespace},
			Spec: v1alpha1.DataStoreSpec{SQLite: &v1alpha1.SQLiteStore{Path: "ats.db"}}},
		&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "documents", Namespace: namespace},
			Spec: v1alpha1.DataStoreSpec{Filesystem: &v1alpha1.FilesystemStore{Path: "documents"}}},
		ATSMap(namespace),
	}
}

// ATSMap maps the sample system.
func ATSMap(namespace string) *v1alpha1.PersonalDataMap {
	link := func(entity, column, parentColumn string) []v1alpha1.Parent {
		return []v1alpha1.Parent{{Entity: entity, Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: column, ParentColumn: parentColumn}}}}
	}
	removed := ptr.To("removed")
	return &v1alpha1.PersonalDataMap{
		ObjectMeta: metav1.ObjectMeta{Name: "ats", Namespace: namespace},
		Spec: v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{
			{Name: "applicants", Store: "ats", Table: "applicants", Key: []string{"id"}, Category: "contact", Action: v1alpha1.ActionDelete,
				Root: &v1alpha1.Root{Rows: v1alpha1.RowsOne},
				IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "id", Identity: v1alpha1.IdentityID},
					{Column: "email", Identity: "email", Normalize: v1alpha1.NormalizeLowerCase}},
				Parents: []v1alpha1.Parent{{Entity: "applicants", Relation: v1alpha1.RelationShallow,
					Columns: []v1alpha1.ColumnPair{{Column: "referred_by", ParentColumn: "id"}}}},
				Pinned: &v1alpha1.Pinned{Fields: []v1alpha1.FieldChange{{Column: "email", Strategy: v1alpha1.StrategyPseudonym},
					{Column: "full_name", Strategy: v1alpha1.StrategyConstant, Value: removed}, {Column: "birth_date", Strategy: v1alpha1.StrategyTruncateDate, Unit: v1alpha1.UnitYear}}},
				Deactivate: []v1alpha1.ColumnValue{{Column: "status", Value: ptr.To("deactivated")}}},
			{Name: "applications", Store: "ats", Table: "applications", Key: []string{"id"}, Category: "profile", Action: v1alpha1.ActionDelete,
				Parents:    link("applicants", "applicant_id", "id"),
				ActiveWhen: []v1alpha1.Condition{{Column: "stage", Operator: v1alpha1.OperatorIn, Values: []string{"screening", "interview", "offer"}}}},
			{Name: "notes", Store: "ats", Table: "notes", Key: []string{"id"}, Category: "notes", Action: v1alpha1.ActionDelete,
				Parents: link("applications", "application_id", "id")},
			{Name: "documents", Store: "ats", Table: "documents", Key: []string{"id"}, Category: "documents", Action: v1alpha1.ActionDelete,
				Parents: link("applicants", "applicant_id", "id"),
				Files:   []v1alpha1.FileReference{{Store: "documents", Path: "{applicant_id}/{file_name}"}},
				Holds: []v1alpha1.StatutoryHold{{Name: "tax", LegalBasis: "AO section 147", Clock: "issued_at", Period: "P10Y",
					Conditions: []v1alpha1.Condition{{Column: "kind", Operator: v1alpha1.OperatorIn, Values: []string{"invoice"}}}}}},
			{Name: "messages", Store: "ats", Table: "messages", Key: []string{"id"}, Category: "communication", Action: v1alpha1.ActionDelete,
				IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "recipient", Identity: "email", Normalize: v1alpha1.NormalizeLowerCase}}},
			{Name: "consents", Store: "ats", Table: "consents", Key: []string{"id"}, Category: "consent", Action: v1alpha1.ActionAnonymize, Order: v1alpha1.OrderFinal,
				IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "email", Identity: "email", Normalize: v1alpha1.NormalizeLowerCase}},
				Fields:       []v1alpha1.FieldChange{{Column: "email", Strategy: v1alpha1.StrategyPseudonym}}},
		}},
	}
}

// Request asks to erase a person, with a Secret that holds the e-mail address.
func Request(namespace, name string, p Person, change ...func(*v1alpha1.ErasureRequest)) []client.Object {
	er := &v1alpha1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.ErasureRequestSpec{Source: v1alpha1.SourceSubject, Timing: v1alpha1.TimingAfterGracePeriod,
			Subject: v1alpha1.Subject{ID: p.ID, IdentitiesSecretRef: &v1alpha1.LocalReference{Name: name}}},
	}
	for _, f := range change {
		f(er)
	}
	return []client.Object{&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Annotations: map[string]string{v1alpha1.AnnotationRequest: name}},
		Type:       v1alpha1.IdentitiesSecretType, StringData: map[string]string{"email": p.Email},
	}, er}
}

// Immediate makes a request immediate.
func Immediate(er *v1alpha1.ErasureRequest) { er.Spec.Timing = v1alpha1.TimingImmediate }
