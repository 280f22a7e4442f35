// Command webhooks prints the webhook configurations of config/webhook.
package main

import (
	"fmt"
	"os"

	webhookv1alpha1 "github.com/lethe-dev/lethe/internal/webhook/v1alpha1"
)

func main() {
	manifests, err := webhookv1alpha1.Manifests()
	if err == nil {
		_, err = os.Stdout.Write(manifests)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
