package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"gateway/auth"
	"gateway/config"
	"gateway/internal/certificate"
	"gateway/storage"
	"gateway/storage/s3"
)

// backend is a storage that files can be kept in: a folder or a bucket.
type backend interface {
	storage.Resumer
	// Sweep removes old uploads.
	Sweep(ctx context.Context) error
	Close() error
}

// recoverEvery is how often renames are looked for that another gateway did not finish.
const recoverEvery = time.Minute

// openBucket opens a storage that is a bucket.
func openBucket(ctx context.Context, c config.Config, name string) (*s3.Store, error) {
	o, err := bucketOptions(c, name)
	if err != nil {
		return nil, err
	}
	key := "storages." + name + ".s3"
	if o.AccessKey, o.SecretKey, err = c.Storages[name].S3.Keys(); err != nil {
		return nil, c.Mistake(key, err)
	}
	if file := c.Storages[name].S3.CAFile; file != "" {
		if o.RootCAs, err = certificate.Authorities(file); err != nil {
			return nil, c.Mistake(key+".ca_file", err)
		}
	}
	return s3.Open(ctx, o)
}

// bucketOptions are what can be known without reading other files.
func bucketOptions(c config.Config, name string) (s3.Options, error) {
	s := c.Storages[name].S3
	o := s3.Options{Bucket: s.Bucket, Prefix: s.Prefix, Region: s.Region, Timeout: s.Timeout}
	o.Endpoint, o.Insecure = s.Host()
	for _, size := range []struct {
		key, text string
		to        *int64
	}{{"memory", s.Memory, &o.Memory}, {"part_size", s.PartSize, &o.PartSize}} {
		if size.text == "" {
			continue
		}
		n, err := auth.ParseBytes(size.text)
		if err == nil && n <= 0 {
			err = fmt.Errorf("%q is not more than 0", size.text)
		}
		if err != nil {
			return o, c.Mistake("storages."+name+".s3."+size.key, err)
		}
		*size.to = int64(n)
	}
	if err := o.Validate(); err != nil {
		return o, c.Mistake("storages."+name+".s3", err)
	}
	return o, nil
}

// checkBucket finds mistakes in the configuration of a bucket, and in the files that it names.
func checkBucket(c config.Config, name string) error {
	s := c.Storages[name].S3
	if s == nil {
		return nil
	}
	_, err := bucketOptions(c, name)
	if _, _, kerr := s.Keys(); kerr != nil {
		err = errors.Join(err, c.Mistake("storages."+name+".s3", kerr))
	}
	if s.CAFile != "" {
		if _, ferr := certificate.Authorities(s.CAFile); ferr != nil {
			err = errors.Join(err, c.Mistake("storages."+name+".s3.ca_file", ferr))
		}
	}
	return err
}

// bucketPlace is where the files of a bucket are, for people.
func bucketPlace(s *config.S3) string {
	return strings.TrimRight(s.Endpoint, "/") + "/" + strings.TrimRight(s.Bucket+"/"+strings.Trim(s.Prefix, "/"), "/")
}

// recoverRenames finishes what other gateways began and died over.
func (g *gateway) recoverRenames(ctx context.Context) {
	for name, b := range g.storages {
		bucket, ok := b.(*s3.Store)
		if !ok {
			continue
		}
		if err := bucket.Recover(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("an interrupted rename could not be finished", slog.String("storage", name), slog.Any("error", err))
		}
	}
}
