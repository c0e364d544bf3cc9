package main

import "errors"

type verifyCmd struct {
	Paths     []string `arg:"" optional:"" help:"Local files and folders; with --published a path of a storage, or STORAGE:PATH." complete:"file"`
	Policy    string   `help:"What must be proved before a file is published (see docs/integrity.md)." type:"path" placeholder:"FILE"`
	Published bool     `help:"Examine what is published: its bytes, its provenance and, with --policy, whether today's keys and policy would still accept it."`
	Source    string   `help:"URL of the server that the local files stand for, where the policy has rules for particular servers." placeholder:"URL"`
	Charset   string   `help:"Charset of local names that are not UTF-8." default:"windows-1252" placeholder:"NAME"`
	JSON      bool     `help:"Print JSON lines." name:"json"`
}

// Validate refuses flags that do not fit together.
func (v *verifyCmd) Validate() error {
	switch {
	case v.Published && len(v.Paths) > 1:
		return errors.New("--published takes one path at most")
	case v.Published && v.Source != "":
		return errors.New("--source is for local files; what is published has its source recorded")
	case !v.Published && v.Policy == "":
		return errors.New("name a policy with --policy FILE, or use --published")
	case !v.Published && len(v.Paths) == 0:
		return errors.New("name local files or folders, or use --published")
	}
	return nil
}

// Run judges local files, or examines published ones.
func (v *verifyCmd) Run(e *env) error {
	if v.Published {
		return v.published(e)
	}
	return v.local(e)
}
