package controller

import (
	"context"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// logKeyHandle is the key of a request's handle in the log: what the ledger calls the request.
const logKeyHandle = "handle"

// loggerOf makes the logger of a reconcile with what controller-runtime's has, and the handle of the request that it is about, so
// that every line has it, those that controller-runtime writes too. controller-runtime adds the reconcileID.
func loggerOf(base logr.Logger, controller, kind string, handle func(client.ObjectKey) string) func(*reconcile.Request) logr.Logger {
	base = base.WithValues("controller", controller, "controllerGroup", v1alpha1.GroupVersion.Group, "controllerKind", kind)
	return func(req *reconcile.Request) logr.Logger {
		if req == nil {
			return base
		}
		l := base.WithValues(kind, klog.KRef(req.Namespace, req.Name), "namespace", req.Namespace, "name", req.Name)
		if h := handle(req.NamespacedName); h != "" {
			l = l.WithValues(logKeyHandle, h)
		}
		return l
	}
}

// handleOf reads the handle of a request from the cache; empty while it has none.
func handleOf(ctx context.Context, c client.Reader, key client.ObjectKey) string {
	var er v1alpha1.ErasureRequest
	if c.Get(ctx, key, &er) != nil {
		return ""
	}
	return er.Status.Handle
}

// logTransition writes one line where the reason of Ready changes.
func logTransition(ctx context.Context, obj, read object) {
	now, before := meta.FindStatusCondition(*obj.GetConditions(), v1alpha1.ConditionReady), meta.FindStatusCondition(*read.GetConditions(), v1alpha1.ConditionReady)
	was := ""
	if before != nil {
		was = before.Reason
	}
	log.FromContext(ctx).Info("the stage changed", "stage", now.Reason, "before", was, "ready", string(now.Status), "stalled", meta.IsStatusConditionTrue(*obj.GetConditions(), v1alpha1.ConditionStalled))
}

// named adds the handle to the log of a reconcile in which the request got it.
func (s *session) named(ctx context.Context) context.Context {
	if s.record == nil || s.handleLogged {
		return ctx
	}
	return ctrl.LoggerInto(ctx, log.FromContext(ctx).WithValues(logKeyHandle, s.record.Handle))
}
