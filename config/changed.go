package config

import (
	"reflect"
	"slices"
	"strings"
)

// Changed lists the dotted keys in which two configurations differ, sorted. What has names of its own
// (storages, sources, pushes) is named as a whole: "sources.partner".
func Changed(a, b Config) []string {
	var keys []string
	compare(reflect.ValueOf(a), reflect.ValueOf(b), "", func(key string, _, _ reflect.Value) { keys = append(keys, key) })
	slices.Sort(keys)
	return keys
}

// Keep is next, but with what running has of the keys that keep says so of. They are those that Changed lists,
// except that of what has names of its own all are kept or none: keep is asked for "sources".
func Keep(running, next Config, keep func(key string) bool) Config {
	into := reflect.ValueOf(&next).Elem()
	compare(reflect.ValueOf(running), into, "", func(key string, old, changed reflect.Value) {
		if changed.CanSet() && keep(key) {
			changed.Set(old)
		}
	})
	for i := range into.NumField() {
		if f := into.Field(i); f.Kind() == reflect.Map && keep(keyOf(into.Type().Field(i))) {
			f.Set(reflect.ValueOf(running).Field(i))
		}
	}
	return next
}

// Validate checks the configuration once more, after Keep.
func (c Config) Validate() error { return c.validate(c.raw) }

// compare calls differ for each key in which two structs do.
func compare(a, b reflect.Value, prefix string, differ func(key string, a, b reflect.Value)) {
	for i := range a.NumField() {
		f, x, y := a.Type().Field(i), a.Field(i), b.Field(i)
		key := strings.Trim(prefix+"."+keyOf(f), ".")
		switch {
		case !f.IsExported():
		case f.Type.Kind() == reflect.Struct:
			compare(x, y, key, differ)
		case f.Type.Kind() == reflect.Map:
			compareNamed(x, y, key, differ)
		case !same(x, y):
			differ(key, x, y)
		}
	}
}

// compareNamed does so for two maps, whose members are not told apart further.
func compareNamed(a, b reflect.Value, prefix string, differ func(key string, a, b reflect.Value)) {
	for _, name := range a.MapKeys() {
		if x, y := a.MapIndex(name), b.MapIndex(name); !y.IsValid() || !same(x, y) {
			differ(prefix+"."+name.String(), x, y)
		}
	}
	for _, name := range b.MapKeys() {
		if !a.MapIndex(name).IsValid() {
			differ(prefix+"."+name.String(), reflect.Value{}, b.MapIndex(name))
		}
	}
}

// same takes an empty list for one that is not given.
func same(a, b reflect.Value) bool {
	if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// keyOf is the YAML key of a field, "" of one whose keys are those of its struct.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}
