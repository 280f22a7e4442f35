package main

import (
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

const contextName = "controlplane"

func (k keyFiles) restConfig(url string) *rest.Config {
	return &rest.Config{
		Host:            url,
		TLSClientConfig: rest.TLSClientConfig{CAFile: k.caCert, CertFile: k.adminCert, KeyFile: k.adminKey},
	}
}

// writeKubeconfig puts the certificates into the file itself, and the file in its place in one step: who sees it can use it.
func writeKubeconfig(file, url string, keys keyFiles) error {
	config := api.NewConfig()
	config.Clusters[contextName] = &api.Cluster{Server: url, CertificateAuthority: keys.caCert}
	config.AuthInfos[contextName] = &api.AuthInfo{ClientCertificate: keys.adminCert, ClientKey: keys.adminKey}
	config.Contexts[contextName] = &api.Context{Cluster: contextName, AuthInfo: contextName}
	config.CurrentContext = contextName
	if err := api.FlattenConfig(config); err != nil {
		return err
	}
	partial := file + ".partial"
	if err := clientcmd.WriteToFile(*config, partial); err != nil {
		return err
	}
	return os.Rename(partial, file)
}
