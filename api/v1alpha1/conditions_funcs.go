package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GetConditions gives access to the conditions of the status.
func (o *DataStore) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// GetConditions gives access to the conditions of the status.
func (o *PersonalDataMap) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// GetConditions gives access to the conditions of the status.
func (o *RetentionPolicy) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// GetConditions gives access to the conditions of the status.
func (o *LegalHold) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// GetConditions gives access to the conditions of the status.
func (o *ErasureRequest) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// GetConditions gives access to the conditions of the status.
func (o *DeletionRun) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// GetConditions gives access to the conditions of the status.
func (o *ComplianceExport) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }
