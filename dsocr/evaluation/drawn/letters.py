"""Prose for drawn pages, written for this and for nothing else: no reader can know it by heart."""

LETTERS = """\
Dear Ottoline, the ferry was two hours late and the harbour café had already put its chairs on the tables, so we ate
apricots on the quay and watched a man repair a blue net. He said the wind would turn by Friday. Our room looks out
over the tin roof of a cinema that closed in 1978; the letters on its front still promise a film with nine horses in
it. Tell Barnaby that I found his compass in the lining of my coat, and that it points, as he always claimed, a little
too far towards lunch.

The survey of the lower meadow was finished on 6 June by Miss Adeyemi and two volunteers. They counted 41 species in
25 squares, among them adder's tongue, great burnet and a single green-winged orchid beside the ditch. Square 17 could
not be reached because of a bull. Cutting should be put off until the second week of August, and the hay must be taken
away, for nothing harms such grass as much as kindness with fertiliser.

Sir, your article on the clock in Market Lane contains three errors. The bell was cast in Loughford, not in Lambeth;
it weighs eleven hundredweight; and it never fell through the floor, although it was once heard to do so. The noise in
the night of 2 December came from the bakery, where an oven door had given way under the weight of four hundred plum
puddings. I was there, and I can say that nobody went home hungry.

Before you open the case, pull the plug and wait five minutes. The large capacitor on the left holds its charge longer
than you would think. Undo the two long screws first, then the short ones, and put them in separate cups. If the drum
squeaks, the cause is nearly always the felt ring at the back: clean it with a dry brush, never with oil. A new ring
costs about 7.80 and fits all models from 240 to 265.

Minutes of the allotment society, third Thursday. Present: nineteen members and a goat. The secretary explained the
goat. It was agreed that plot 12, empty since the spring, should go to the family at the head of the list, and that
water would be charged by the metre from next year. Mr. Fairweather asked who had painted the shed. Nobody knew, but
all thought it an improvement. The meeting closed at ten to nine.

My grandmother kept bees behind the signal box, and the trains made them neither better nor worse. She knew the time
by the 4.17 to Kestrel Bridge and the weather by the way the workers came home. In a good summer there were sixty
jars, and each was given to somebody by name. When she died the stationmaster went down the line of hives with his cap
in his hand and told them, one after the other, in a low voice, as it has to be done.

The trial compared two ways of storing seed potatoes through the winter. Boxes in the north cellar stayed between 3
and 5 degrees; those in the barn went as low as minus 1 on four nights. By March, 92 of every 100 tubers from the
cellar had sprouted evenly, against 67 from the barn, and the difference was larger for the early kinds. Straw on top
of the boxes made no change that could be measured. We would not repeat the barn.

Thank you for the parcel. The gloves fit, the marmalade survived, and the book about lighthouses is being read aloud
after supper, a keeper each evening. We have reached number six, who grew leeks in a boat and quarrelled with the
gulls. It has rained since Sunday. The river is over the lower path and has taken the bench where you broke your
tooth, so there is no need to be angry with it any longer.

Lost on the number 8 bus between Chapel Street and the hospital: one accordion, red, with a strap mended in green
thread. It belonged to my uncle and is of no value to anybody who cannot play it, and of not much more to me, who
cannot either. The finder is asked to bring it to the kiosk at the swimming baths, where there is a reward of a season
ticket and, if wanted, silence.

For the dough, warm a quarter of a litre of milk until it is just pleasant to the finger, and stir in 20 grams of
yeast. Rub 80 grams of butter into half a kilo of flour with a spoonful of sugar and rather less salt. Bring the two
together, knead for eight minutes, and leave it under a cloth while you do something else. It should double. Roll it
out, fold it like a letter, turn it and roll it again, three times in all. Bake at 200 degrees until the kitchen
smells of holidays.

Gentlemen, we have tested the sample of rope that came with your letter of the 9th. It parted at 1,340 kilograms, dry,
and at 1,180 after a night in salt water. This is enough for the awning but not for the bell. We can offer a rope of
the same thickness with a core of a different lay, tested to 2,100, at a price of 3.15 a metre, delivered within ten
days of your order. Samples are free, as are complaints.

The school stands at the end of a lane of limes, and in the week before the holidays nobody can hear the bell for
bees. There are 58 children, two teachers and a cook called Philippa, who is consulted about everything. On Wednesdays
the older ones measure the rain, the shadow of the flagpole and the caretaker's beard. They have done so for thirty
years. The figures fill eleven books, and last autumn a man came from the university to copy them down.

The old road over the pass is open from the end of May until the first snow, and nobody clears it. There are eleven
bends on the near side and fourteen on the far one, each with a number on a white stone, except the ninth, where the
stone went into the gorge with a cement lorry in 1961. The driver had stepped out to look at the view. His
granddaughter keeps the inn at the top; soup is 4.50, the view is free, and the brakes of any car will be looked at by
her husband for nothing.

We regret that the concert of 28 January cannot take place as announced, because the second oboe has broken a thumb
and the first will not play without her. Tickets stay valid for the 11th of February, when the programme will be the
same apart from the encore. Whoever prefers the money may write to the box office until the end of the month; nobody
has yet.
"""
