package brokertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certificates writes the files of two authorities, of the broker and of a client.
func (b *Broker) certificates() error {
	file := func(name string) string { return filepath.Join(b.dir, name) }
	b.CA, b.OtherCA, b.ClientCert, b.ClientKey = file("ca.crt"), file("other.crt"), file("client.crt"), file("client.key")
	ca, err := newAuthority("ca", b.CA)
	if err != nil {
		return err
	}
	if _, err := newAuthority("other", b.OtherCA); err != nil {
		return err
	}
	cert, key, err := ca.leaf("broker")
	if err != nil {
		return err
	}
	// The broker wants key and chain in one file.
	if err := os.WriteFile(file("server.pem"), append(key, cert...), 0o600); err != nil {
		return err
	}
	if cert, key, err = ca.leaf("client"); err != nil {
		return err
	}
	if err := os.WriteFile(b.ClientCert, cert, 0o600); err != nil {
		return err
	}
	return os.WriteFile(b.ClientKey, key, 0o600)
}

func newAuthority(name, file string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := template(name, 1)
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return &authority{c, key}, os.WriteFile(file, encode("CERTIFICATE", der), 0o600)
}

// leaf returns a certificate for 127.0.0.1 and its key, in PEM.
func (a *authority) leaf(name string) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	c := template(name, 2)
	c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &k.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", secret), nil
}

func template(name string, serial int64) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
