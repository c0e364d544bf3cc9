package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/alecthomas/kong"

	"gateway/config"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // what was asked for was not done, or not wholly
	exitUsage  = 2 // the command line cannot be understood
)

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// cli is the command line.
type cli struct {
	Config string `help:"Configuration file (default: gateway.yaml if it is there)." short:"c" type:"path" placeholder:"FILE"`
	Data   string `help:"Data folder (default: gateway-data, or what the configuration says)." type:"path" placeholder:"DIR"`

	ShowVersion kong.VersionFlag `help:"Print the version." name:"version"`

	Serve       serveCmd       `cmd:"" help:"Serve files over SFTP and HTTPS/WebDAV."`
	Health      healthCmd      `cmd:"" help:"Ask the gateway that runs here whether it answers."`
	Migrate     migrateCmd     `cmd:"" help:"Fetch, verify and publish all files of an FTP or SFTP server."`
	Push        pushCmd        `cmd:"" help:"Send what arrived in a folder to an FTP or SFTP server."`
	Jobs        jobsCmd        `cmd:"" help:"List migrations and pushes: the last run of each, and the next."`
	Ls          lsCmd          `cmd:"" help:"List a folder of an FTP or SFTP server."`
	Probe       probeCmd       `cmd:"" help:"Find out what an FTP server is and how to migrate from it."`
	User        userCmd        `cmd:"" help:"Add, change, list and remove users."`
	Admin       adminCmd       `cmd:"" help:"Administrators of the operator's page, and tokens of its API."`
	Bans        bansCmd        `cmd:"" help:"List or lift bans of addresses whose logins failed too often."`
	Report      reportCmd      `cmd:"" help:"Check the signed report of a migration."`
	Explain     explainCmd     `cmd:"" help:"Say why a file was published or not."`
	Verify      verifyCmd      `cmd:"" help:"Judge local files by a policy, or examine again what is published."`
	Provenance  provenanceCmd  `cmd:"" help:"Export or check the signed proof of a published file."`
	Quarantine  quarantineCmd  `cmd:"" help:"List, release or reject files that were not published."`
	Events      eventsCmd      `cmd:"" help:"List, retry or drop what hooks could not be told."`
	Audit       auditCmd       `cmd:"" help:"Show or verify the log of who did what."`
	Uploads     uploadsCmd     `cmd:"" help:"List or discard uploads that broke off and can be continued."`
	ParseList   parseListCmd   `cmd:"" help:"Read an FTP listing on standard input, print its entries as JSON."`
	CheckConfig checkConfigCmd `cmd:"" help:"Check the configuration and the user files."`
	Completion  completionCmd  `cmd:"" help:"Print a script by which a shell completes commands, flags and names."`
	Complete    completeCmd    `cmd:"" hidden:""`
	Man         manCmd         `cmd:"" help:"Write the manual pages, or print one."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

// env is what every command gets: its context, streams and configuration.
type env struct {
	streams
	ctx context.Context
	cli *cli
}

// errSilent makes the exit status 1 where the command has said all itself.
var errSilent = errors.New("failed")

// run parses the arguments, runs the command and returns the exit status.
func run(ctx context.Context, args []string, s streams) int {
	var c cli
	exited := -1
	parser, err := newParser(&c, s, func(code int) { exited = code })
	if err != nil {
		panic(err) // the struct tags above are wrong: a mistake in this file
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	switch {
	case exited >= 0: // --help has printed
		return exited
	case err != nil:
		fmt.Fprintln(s.err, usageError(err))
		return exitUsage
	}
	e := &env{streams: s, ctx: ctx, cli: &c}
	if err = e.asOwner(kctx.Command(), args); err == nil {
		err = kctx.Run(e)
	}
	if err != nil {
		if !errors.Is(err, errSilent) {
			fmt.Fprintln(s.err, "gateway: "+oneLineEach(err))
		}
		return exitFailed
	}
	return exitOK
}

// newParser reads command lines into c.
func newParser(c *cli, s streams, exit func(int)) (*kong.Kong, error) {
	parser, err := kong.New(c,
		kong.Vars{"version": versionLine()},
		kong.Name("gateway"),
		kong.Description("Files over SFTP and HTTPS/WebDAV; old FTP servers moved behind it, every file verified.\n\nBegin with \"gateway serve\": it needs no configuration, and prints how to connect."),
		kong.Writers(s.out, s.err),
		kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 80}),
	)
	if err == nil {
		parser.Model.HelpFlag.Help = "Show this help."
	}
	return parser, err
}

// oneLineEach indents the further lines of joined errors.
func oneLineEach(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "\ngateway: ")
}

// config loads the configuration that the flags name.
func (e *env) config() (config.Config, error) {
	return config.Load(e.cli.Config, e.cli.Data)
}

// newLogger writes to w as configured.
func newLogger(w io.Writer, c config.Log) *slog.Logger { return newLoggerAt(w, c, new(slog.LevelVar)) }

// newLoggerAt is newLogger, with a level that can be changed.
func newLoggerAt(w io.Writer, c config.Log, level *slog.LevelVar) *slog.Logger {
	level.Set(logLevel(c))
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func logLevel(c config.Log) (level slog.Level) {
	_ = level.UnmarshalText([]byte(c.Level)) // validated by config
	return level
}
