package roster

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/cert"
)

const certificateName = "serving" // of a Secret

// Certificate returns a certificate of its own authority for a class whose cluster's authority is out of reach. It is kept in a
// Secret of the class's namespace, and made again for a name or an address that it lacks, and a week before it ends.
func Certificate(ctx context.Context, client kubernetes.Interface, names []string, ips []net.IP) (chain, key []byte, err error) {
	secrets := client.CoreV1().Secrets(DefaultNamespace)
	s, err := secrets.Get(ctx, certificateName, metav1.GetOptions{})
	if err == nil && serves(s.Data[corev1.TLSCertKey], names, ips) {
		return s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey], nil
	}
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return nil, nil, fmt.Errorf("the class's certificate: %w", err)
	}
	chain, key, err = cert.GenerateSelfSignedCertKey(names[0], ips, names[1:])
	if err != nil {
		return nil, nil, fmt.Errorf("the class's certificate: %w", err)
	}
	if missing {
		s = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: certificateName, Namespace: DefaultNamespace}, Type: corev1.SecretTypeTLS}
	}
	s.Data = map[string][]byte{corev1.TLSCertKey: chain, corev1.TLSPrivateKeyKey: key}
	if missing {
		_, err = secrets.Create(ctx, s, metav1.CreateOptions{})
	} else {
		_, err = secrets.Update(ctx, s, metav1.UpdateOptions{})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("storing the class's certificate: %w", err)
	}
	return chain, key, nil
}

func serves(text []byte, names []string, ips []net.IP) bool {
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil || time.Now().After(c.NotAfter.Add(-7*24*time.Hour)) {
		return false
	}
	for _, name := range names {
		if c.VerifyHostname(name) != nil {
			return false
		}
	}
	for _, ip := range ips {
		if c.VerifyHostname(ip.String()) != nil {
			return false
		}
	}
	return true
}
