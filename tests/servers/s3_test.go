package servers

import (
	"bytes"
	"io"
	"testing"

	"github.com/minio/minio-go/v7"
)

func TestRealS3(t *testing.T) {
	s := StartS3(t, VersityGW)
	c, bucket := s.Client(), s.Bucket(true)
	content := []byte("hello")
	if _, err := c.PutObject(t.Context(), bucket, "a/b", bytes.NewReader(content), 5, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Restart()
	o, err := c.GetObject(t.Context(), bucket, "a/b", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("read %q, %v", got, err)
	}
}
