package main

// What the help of a command says below its first line, for who sees it for the first time: what it does, what it
// leaves alone, and what to type. The manual pages say the same.

// Help implements kong.HelpProvider.
func (serveCmd) Help() string {
	return `It runs until Ctrl-C or SIGTERM. The first start makes the data folder, the host keys, a certificate and a first user, and prints the password, the addresses and how to connect. Without a configuration only this machine can connect.

  gateway serve
  gateway serve --config /etc/gateway/gateway.yaml`
}

// Help implements kong.HelpProvider.
func (healthCmd) Help() string {
	return `For monitoring: it prints "healthy" and ends with status 0 if SSH greets and HTTPS answers where the configuration says, else it says which does not. It does not log in.`
}

// Help implements kong.HelpProvider.
func (migrateCmd) Help() string {
	return `It can be stopped at any moment and run again: it goes on where it was, and fetches only what is new. The old server is only read, unless --after says otherwise. With --policy a file is published only when it is proved; what is not is kept in quarantine. The exit status is 0 only if everything on the source is published.

  gateway migrate --dry-run ftp://anna@old.example/pub partner
  gateway migrate --policy policy.yaml ftpes://anna@old.example/pub partner
  gateway migrate NAME          a source of the configuration

The password is best given by --password-file, or by the variable GATEWAY_SOURCE_PASSWORD.`
}

// Help implements kong.HelpProvider.
func (pushCmd) Help() string {
	return `A file is sent to a temporary name, compared, and renamed. Each is sent once, also when this is stopped and run again.

  gateway push partner/out sftp://us@partner.example/incoming
  gateway push NAME             a push of the configuration`
}

// Help implements kong.HelpProvider.
func (jobsCmd) Help() string {
	return `A job is a migration or a push, by hand or by the schedule of the configuration.`
}

// Help implements kong.HelpProvider.
func (lsCmd) Help() string {
	return `To look at a server before anything is moved: the entries, and below them how the listing was read and what could not be.

  gateway ls ftp://anna@old.example/pub`
}

// Help implements kong.HelpProvider.
func (probeCmd) Help() string {
	return `It reads some folders and one small file, changes nothing, and prints what to write into gateway.yaml.

  gateway probe ftp://anna@old.example/`
}

// Help implements kong.HelpProvider.
func (userAddCmd) Help() string {
	return `It asks for the password, or reads it as one line of standard input. The user can log in at once, to a gateway that runs too.

  gateway user add anna
  gateway user add partner --key partner.pub --no-password`
}

// Help implements kong.HelpProvider.
func (userPasswdCmd) Help() string {
	return `It asks for the password, or reads it as one line of standard input. It counts from the next login on.`
}

// Help implements kong.HelpProvider.
func (explainCmd) Help() string {
	return `It tells where the file came from, what was checked and found, and what can be done about it.

  gateway explain partner/price.csv`
}

// Help implements kong.HelpProvider.
func (quarantineReleaseCmd) Help() string {
	return `Who releases a file says that it is good though nothing proves it. It stays marked as unverified.`
}

// Help implements kong.HelpProvider.
func (reportVerifyCmd) Help() string {
	return `DIR is what "gateway migrate --report DIR" wrote. Status 0 says that nothing in it has changed since.`
}

// Help implements kong.HelpProvider.
func (provenanceCmd) Help() string {
	return `The proof says where a file came from, what was checked and when, signed with the gateway's own key. Whoever gets the file can check it, without this gateway:

  gateway provenance partner/backup.iso > backup.iso.json
  gateway provenance --check --file backup.iso --key KEY backup.iso.json`
}

// Help implements kong.HelpProvider.
func (verifyCmd) Help() string {
	return `To try a policy before a migration uses it, and to prove later that what is published is still what was.

  gateway verify --policy policy.yaml downloads/
  gateway verify --published partner`
}

// Help implements kong.HelpProvider.
func (uploadsListCmd) Help() string {
	return `What came of them is kept for 24 hours for the user who sent it. "reput" of OpenSSH's sftp, and other clients by themselves, go on where they stopped.`
}

// Help implements kong.HelpProvider.
func (parseListCmd) Help() string {
	return `For a listing that is read wrongly: what a server sent goes in, how it is understood comes out.

  gateway parse-list --report < listing.txt`
}

// Help implements kong.HelpProvider.
func (checkConfigCmd) Help() string {
	return `It names every mistake with file and line, makes nothing, and does not ask the network. Status 0 says that serve would start with it.`
}

// Help implements kong.HelpProvider.
func (completionCmd) Help() string {
	return `Names of users, storages, sources and pushes are completed from the configuration.

  source <(gateway completion bash)    in ~/.bashrc
  gateway completion zsh > /usr/local/share/zsh/site-functions/_gateway
  gateway completion fish > ~/.config/fish/completions/gateway.fish`
}

// Help implements kong.HelpProvider.
func (userTOTPCmd) Help() string {
	return `It shows a QR code for the app, asks for the code that the app then shows, and switches the second factor on when that is right. Then recovery codes are printed, once.

  gateway user totp anna
  gateway user totp anna --off`
}

// Help implements kong.HelpProvider.
func (userAppPasswordCmd) Help() string {
	return `With --label one is made, and shown only this once. Without it they are listed.

  gateway user app-password anna --label laptop
  gateway user app-password anna
  gateway user app-password anna --revoke laptop`
}

// Help implements kong.HelpProvider.
func (eventsListCmd) Help() string {
	return `An event is told to the commands and addresses under "events" in the configuration, again and again until it is taken. What never was is kept here, with the last error.`
}

// Help implements kong.HelpProvider.
func (eventsRetryCmd) Help() string {
	return `When what kept it from being told is mended:

  gateway events retry ID`
}

// Help implements kong.HelpProvider.
func (auditShowCmd) Help() string {
	return `Who logged in, was refused, or changed what, from where and when.

  gateway audit show --since 1h --verb login,upload
  gateway audit show --user anna --path /in`
}

// Help implements kong.HelpProvider.
func (auditVerifyCmd) Help() string {
	return `Each line holds the hash of the one before it, and heads are signed. Somebody who may write the files and has the key could make all of it anew: a head that was kept on another machine shows that too.

  gateway audit verify
  gateway audit verify --head HEAD`
}

// Help implements kong.HelpProvider.
func (auditHeadCmd) Help() string {
	return `It stands for all lines until now: give it to "gateway audit verify --head" later.

  ssh files.example.org gateway audit head >> heads.txt`
}

// Help implements kong.HelpProvider.
func (auditKeyCmd) Help() string {
	return `For an auditor who has copies of the files, and no gateway: "gateway audit verify --key FILE".`
}
