package tracing

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Export sends spans by OTLP over HTTP to where OpenTelemetry's standard environment variables say (OTEL_EXPORTER_OTLP_ENDPOINT
// and its like; OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES), until stop is called. A collector that is away stops nothing.
func Export(ctx context.Context, log logr.Logger, version string) (stop func(context.Context) error, err error) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Info("spans could not be exported", "cause", err.Error())
	}))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("the exporter of traces: %w", err)
	}
	// What stands later wins: OTEL_SERVICE_NAME over the name here.
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "lethe"), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	Use(provider)
	return func(ctx context.Context) error {
		Use(nil)
		return provider.Shutdown(ctx)
	}, nil
}
