package planner

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/lethe-dev/lethe/internal/backend"
)

// place is a table's column that may hold personal data. The strongest are listed when not all can be.
type place struct {
	text     string
	strength int
}

// The strengths, the greatest first.
const (
	byForeignKey = 3
	byName       = 2
	byType       = 1
)

// likely looks for personal data where nobody has looked: in unknown tables, and in unknown columns of mapped ones. It
// goes by names, types and foreign keys, never by contents.
func (s *survey) likely() []place {
	var found []place
	infos := s.infos()
	linked := s.linked(infos)
	for t, info := range infos {
		state := s.table(t)
		if state == ignored || info.Kind == backend.KindView {
			continue
		}
		for _, col := range info.Columns {
			if state == mapped && s.column(t, col.Name) != unknown {
				continue
			}
			strength := Personal(col.Name, col.Type).strength()
			if state == unknown && linked[t][col.Name] {
				strength = byForeignKey
			}
			if strength > 0 {
				found = append(found, place{text: truncateName(s.store + "/" + tableText(t) + "." + col.Name), strength: strength})
			}
		}
	}
	return found
}

// linked are the columns of unknown tables that refer to a mapped table, or to an unknown one that does.
func (s *survey) linked(infos map[backend.Table]*backend.TableInfo) map[backend.Table]map[string]bool {
	out := map[backend.Table]map[string]bool{}
	for changed := true; changed; {
		changed = false
		for t, info := range infos {
			if s.table(t) != unknown {
				continue
			}
			for _, fk := range info.ForeignKeys {
				ref := s.facts.normal(fk.References)
				if s.table(ref) != mapped && (len(out[ref]) == 0 || ref == t) {
					continue
				}
				for _, c := range fk.Columns {
					if out[t] == nil {
						out[t] = map[string]bool{}
					}
					changed = changed || !out[t][c]
					out[t][c] = true
				}
			}
		}
	}
	return out
}

// chooseLikely lists the strongest places, sorted by name.
func chooseLikely(all []place) ([]string, int32) {
	slices.SortFunc(all, func(a, b place) int {
		if a.strength != b.strength {
			return b.strength - a.strength
		}
		return strings.Compare(a.text, b.text)
	})
	var list []string
	for _, p := range all[:min(len(all), maxLikely)] {
		list = append(list, p.text)
	}
	slices.Sort(list)
	return list, int32(min(len(all), 1<<30))
}

func truncateName(s string) string {
	if len(s) <= maxListedText {
		return s
	}
	return strings.ToValidUTF8(s[:maxListedText-3], "") + "..."
}

// maxListedText bytes have the entries of status.coverage.likely and status.drift.
const maxListedText = 512

// Kind of personal data that a column seems to hold.
type Kind string

// The kinds; none is the empty one.
const (
	KindEmail    Kind = "email"
	KindPhone    Kind = "phone"
	KindName     Kind = "name"
	KindAddress  Kind = "address"
	KindBirth    Kind = "birth"
	KindNumber   Kind = "number" // that names a person or an account of one
	KindNetwork  Kind = "network"
	KindText     Kind = "text" // in which anything may stand
	KindMedia    Kind = "media"
	KindPersonal Kind = "personal"
	// KindDocument is told by the type alone: a document of any structure.
	KindDocument Kind = "document"
)

func (k Kind) strength() int {
	switch k {
	case "":
		return 0
	case KindDocument:
		return byType
	}
	return byName
}

var (
	tokenKinds = words(map[Kind]string{
		KindEmail: `email emails mail mails mailaddress emailaddress emailadresse mailadresse recipient recipients sender
			attendee attendees invitee invitees empfaenger empfänger absender correo courriel`,
		KindPhone: `phone phones telephone telefon telefonnummer mobile mobil handy handynummer fax faxnumber phonenumber mobilenumber
			tel telefono teléfono telefoon whatsapp skype`,
		KindName: `name names firstname lastname fullname surname forename givenname familyname middlename maidenname nickname
			username displayname vorname nachname familienname geburtsname benutzername anrede salutation nom prenom prénom apellido
			apellidos voornaam achternaam contactname initials author signature unterschrift`,
		KindAddress: `address addresses street zip zipcode postcode postalcode plz city town adresse anschrift strasse straße
			hausnummer postleitzahl ort wohnort stadt calle ciudad rue ville straat woonplaats latitude longitude geolocation`,
		KindBirth: `birth birthday birthdate birthplace born dob geburt geburtsdatum geburtstag geburtsort age alter`,
		KindNumber: `iban bic ssn tax taxid steuernummer steuerid sozialversicherungsnummer svnr passport passportnumber reisepass
			ausweis personalausweis license licence driverslicense creditcard cardnumber pan kontonummer bankaccount accountnumber
			nationalid insurance versicherungsnummer personalnummer employeenumber`,
		KindNetwork: `ip ips ipaddress ipadresse ipv4 ipv6 useragent fingerprint cookie deviceid macaddress`,
		KindText: `note notes comment comments remark remarks body message messages content description feedback answer answers
			question transcript summary bemerkung bemerkungen notiz notizen kommentar nachricht inhalt text bio biography about
			coverletter anschreiben subject betreff`,
		KindMedia: `cv resume résumé avatar photo photos picture portrait selfie recording recordings voice video lebenslauf foto bild
			attachment attachments certificate zeugnis`,
		KindPersonal: `gender sex geschlecht salary gehalt lohn wage income einkommen nationality staatsangehörigkeit
			staatsangehoerigkeit religion ethnicity marital familienstand health disability behinderung diagnosis blood
			password passwort linkedin xing facebook twitter instagram github profile url_profile`,
	})
	// stems are found inside longer words too.
	stems = []struct {
		stem string
		kind Kind
	}{
		{"email", KindEmail}, {"phone", KindPhone}, {"telefon", KindPhone}, {"vorname", KindName}, {"nachname", KindName},
		{"firstname", KindName}, {"lastname", KindName}, {"fullname", KindName}, {"surname", KindName}, {"address", KindAddress},
		{"adresse", KindAddress}, {"strasse", KindAddress}, {"birth", KindBirth}, {"geburt", KindBirth}, {"passport", KindNumber},
		{"salary", KindPersonal}, {"gehalt", KindPersonal}, {"iban", KindNumber},
	}
	// things have names, texts and addresses too: a word of this list before one of those says that it is not a person's.
	things = set(`file filename table tablename column class type event queue index schema database db product template role group
		category tag field key brand package method function module service server bucket domain host hostname job task plugin
		file datei tabelle spalte produkt vorlage rolle gruppe kategorie feld schluessel dienst currency country language locale
		color colour stage status state step action feature flag setting config constraint trigger folder directory path mime
		department vacancy position shipping warehouse mac memory`)
	// plain words that follow a thing, or stand alone in a table of things.
	thingWords = set(`name names text description address addresses body content message subject summary license licence`)
	// wholes are names that mean something in a text alone: from is a date too, and raw a number.
	wholes  = map[string]Kind{"from": KindEmail, "to": KindEmail, "cc": KindEmail, "bcc": KindEmail, "raw": KindText, "payload": KindText}
	textual = regexp.MustCompile(`(?i)char|text|clob|string|^$`)
	// suffixes leave little of a word: the id of an e-mail, the number of phones, when an address was checked.
	suffixes  = map[string]Kind{"id": KindNumber, "ids": KindNumber, "at": KindBirth, "count": "-"}
	documents = regexp.MustCompile(`(?i)^(json|jsonb|xml|hstore|bson)\b`)
	networks  = regexp.MustCompile(`(?i)^(inet|cidr|macaddr|macaddr8|inet4|inet6)\b`)
	numbers   = regexp.MustCompile(`(?i)^(bool|boolean|bit|tinyint\(1\))\b`)
)

// Personal tells which kind of personal data a column seems to hold, by its name and type; none if it does not seem so.
func Personal(column, columnType string) Kind {
	if networks.MatchString(columnType) {
		return KindNetwork
	}
	if numbers.MatchString(columnType) { // email_confirmed
		return ""
	}
	tokens := Tokens(column)
	joined := strings.Join(tokens, "")
	if kind, ok := tokenKinds[joined]; ok || joined == "" {
		return kind
	}
	if kind, ok := wholes[joined]; ok && textual.MatchString(columnType) {
		return kind
	}
	only, bound := suffixes[tokens[len(tokens)-1]]
	for i, t := range tokens {
		kind, ok := tokenKinds[t]
		if !ok || thingWords[t] && i > 0 && things[tokens[i-1]] || thingWords[t] && things[joined[:len(joined)-len(t)]] {
			continue
		}
		if !bound || kind == only {
			return kind
		}
	}
	for _, s := range stems {
		if !bound && strings.Contains(joined, s.stem) && !slices.ContainsFunc(tokens, func(t string) bool { return things[t] }) {
			return s.kind
		}
	}
	if documents.MatchString(columnType) {
		return KindDocument
	}
	return ""
}

// Tokens splits a name at everything that is no letter and no digit, and where a capital letter begins a word; they are
// in lower case.
func Tokens(name string) []string {
	var tokens []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			tokens = append(tokens, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
			continue
		case unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			end()
		}
		word = append(word, r)
	}
	end()
	return tokens
}

func set(list string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(list) {
		out[w] = true
	}
	return out
}

func words(lists map[Kind]string) map[string]Kind {
	out := map[string]Kind{}
	for kind, list := range lists {
		for w := range set(list) {
			out[w] = kind
		}
	}
	return out
}
