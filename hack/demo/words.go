package main

var firstNames = []string{
	"Ada", "Amir", "Anneke", "Aroha", "Bao", "Beatriz", "Callum", "Chiara", "Dagny", "Dimitri", "Elif", "Emeka", "Fatima",
	"Femke", "Goran", "Hana", "Henrik", "Ines", "Ivo", "Jamal", "Jana", "Kaito", "Kerstin", "Lars", "Leila", "Mateo",
	"Mira", "Nadia", "Noor", "Oksana", "Oscar", "Paula", "Priya", "Quentin", "Rafael", "Rosa", "Samir", "Sanne", "Tariq",
	"Thea", "Uma", "Viktor", "Wanda", "Xenia", "Yusuf", "Zofia",
}

var lastNames = []string{
	"Abend", "Bergqvist", "Castellan", "Dorn", "Eklund", "Farkas", "Giordani", "Halloran", "Ibarra", "Janssen", "Kovac",
	"Lindqvist", "Marchetti", "Nakagawa", "Okonjo", "Petrescu", "Quispe", "Rosenthal", "Sandoval", "Tanaka", "Ulrichs",
	"Varga", "Wieland", "Xanthos", "Yildiz", "Zeman",
}

var cities = []string{"Aarhus", "Bologna", "Cork", "Dresden", "Ghent", "Girona", "Lund", "Porto", "Tartu", "Utrecht"}

var jobTitles = []string{
	"Accountant", "Backend Engineer", "Care Assistant", "Data Analyst", "Electrician", "Field Technician", "Nurse",
	"Office Manager", "Product Designer", "Quality Inspector", "Sales Representative", "Warehouse Lead",
}

var noteTexts = []string{
	"Available from next quarter on.", "Asked for a part-time contract.", "Speaks three languages.",
	"Prefers to work from home two days a week.", "Salary wish above our range.", "Strong references.",
}

var evaluationTexts = []string{
	"Solid grasp of the trade.", "Explains well, listens better.", "Little experience in the field.",
	"Would raise the team's level.", "Unsure about shift work.",
}

var questions = []string{
	"Please send the missing certificate.", "From when on could you start?", "Do you hold a driving licence?",
	"Is a move to another city possible for you?",
}

var mailSubjects = []string{
	"Your application", "Invitation to an interview", "Your documents have arrived", "News on your application",
	"A question about your resume",
}

var conversationTopics = []string{"Help with the form", "Questions about the job", "Status of the application"}

var interests = []string{"night shifts", "part time", "leadership", "remote work", "apprenticeship"}
