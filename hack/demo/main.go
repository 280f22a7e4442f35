// demo, which `make demo` builds as ats, makes a sample applicant-tracking system and counts what an erasure did to it.
// It looks at the database and the files by itself and knows nothing of Lethe: what it reports is what is there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const usage = `usage: ats COMMAND [--data DIR] [flags]

  seed    make the database DIR/ats.db and its files below DIR/storage
  count   print what one person has in every table and on disk, with a digest of everybody else's data;
          --save NAME keeps the numbers beside the folder, --against NAME compares with them: exit status 1 unless
          everything of the person is gone but for --anonymized, --kept and --files (--kept all: nothing has changed),
          and all else is as it was
  row     print columns of one row as column=value
  close   close the person's open applications, as a recruiter would

Without --data the folder is $LETHE_DEMO_DATA.
`

// errUnmet says that a comparison ran and did not find what it was to find; the details are printed.
var errUnmet = errors.New("not as expected")

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ats:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	commands := map[string]func(context.Context, []string) error{
		"seed": runSeed, "count": runCount, "row": runRow, "close": runClose,
	}
	command, known := commands[args[0]]
	if !known {
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
	err := command(ctx, args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

// newFlags returns the flags of a command with --data, which all of them have.
func newFlags(command string) (*flag.FlagSet, *string) {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	return flags, flags.String("data", os.Getenv("LETHE_DEMO_DATA"), "folder of the sample system")
}

func runSeed(ctx context.Context, args []string) error {
	flags, data := newFlags("seed")
	applicants := flags.Int("applicants", 3000, "number of applicants, at least 1000")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *data == "" || *applicants < 1000 {
		return errors.New("seed needs --data and at least 1000 applicants")
	}
	return seed(ctx, *data, *applicants)
}

func runCount(ctx context.Context, args []string) error {
	flags, data := newFlags("count")
	id := flags.String("subject", "", "applicants.id of the person")
	save := flags.String("save", "", "name to keep the numbers under")
	against := flags.String("against", "", "name of earlier numbers to compare with")
	anonymized := flags.String("anonymized", "", "tables whose rows of the person stay, overwritten, separated by commas")
	kept := flags.String("kept", "", "rows of the person that stay as they are: table=rows separated by commas, or all")
	files := flags.Int("files", 0, "files of the person that stay")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ats, err := openSystem(*data, true)
	if err != nil {
		return err
	}
	defer ats.close()
	if *against != "" {
		want, err := parseExpectation(*anonymized, *kept, *files)
		if err != nil {
			return err
		}
		return compareWith(ctx, os.Stdout, ats, snapshotFile(*data, *against), want)
	}
	before, err := takeSnapshot(ctx, ats, *id)
	if err != nil {
		return err
	}
	before.print(os.Stdout)
	if *save == "" {
		return nil
	}
	return before.write(snapshotFile(*data, *save))
}

// snapshotFile keeps numbers beside the system's folder, not in it.
func snapshotFile(data, name string) string {
	return filepath.Join(filepath.Dir(filepath.Clean(data)), name+".json")
}

func runRow(ctx context.Context, args []string) error {
	flags, data := newFlags("row")
	table := flags.String("table", "applicants", "table of the row")
	id := flags.String("id", "", "id of the row")
	columns := flags.String("columns", "id,email,full_name,phone,birth_date,city,status,portal_access", "columns to print")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ats, err := openSystem(*data, true)
	if err != nil {
		return err
	}
	defer ats.close()
	return ats.printRow(ctx, os.Stdout, *table, *id, strings.Split(*columns, ","))
}

func runClose(ctx context.Context, args []string) error {
	flags, data := newFlags("close")
	id := flags.String("subject", "", "applicants.id of the person")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ats, err := openSystem(*data, false)
	if err != nil {
		return err
	}
	defer ats.close()
	closed, err := ats.closeApplications(ctx, *id)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "%d open application(s) of %s closed as rejected\n", closed, *id)
	return nil
}
